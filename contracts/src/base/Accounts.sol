// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {IAccounts} from "../interfaces/IAccounts.sol";
import {Kinds} from "../libraries/Kinds.sol";
import {MemberStatus} from "../types/Types.sol";
import {Peered} from "./Peered.sol";

/// @notice Members' accounts, and the way of credits in and out. See IAccounts.
/// @dev `total` is the token balance of this contract at any time: it changes where the token moves, and nowhere else.
abstract contract Accounts is IAccounts, Peered, ReentrancyGuard {
    using SafeERC20 for ERC20Burnable;

    /// @inheritdoc IAccounts
    mapping(uint32 member => uint256) public override balanceOf;
    /// @inheritdoc IAccounts
    uint256 public override reserved;
    /// @inheritdoc IAccounts
    uint256 public override total;

    /// @inheritdoc IAccounts
    function depositFor(uint32 member, uint256 amount) external override onlyCurrent(Kinds.CLEARING) nonReentrant {
        if (_members().statusOf(member) == MemberStatus.NONE) revert UnknownMember(member);
        uint256 sum = total + amount;
        if (sum > type(uint80).max) revert TooMuch(sum, type(uint80).max);
        total = sum;
        balanceOf[member] += amount;
        emit Deposited(member, msg.sender, amount);
        _credit().safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IAccounts
    function withdraw(uint256 amount, address to) external override onlyCurrent(Kinds.CLEARING) nonReentrant {
        uint32 member = _members().memberOfAccount(msg.sender);
        if (member == 0) revert NotAnAccount(msg.sender);
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        _take(member, amount);
        total -= amount;
        emit Withdrawn(member, to, amount);
        _credit().safeTransfer(to, amount);
    }

    /// @inheritdoc IAccounts
    function reserve(uint32 member, uint256 amount)
        external
        override
        onlyCurrent(Kinds.CLEARING)
        onlyContract(Kinds.DEMANDS)
    {
        _take(member, amount);
        reserved += amount;
        emit Reserved(member, amount);
    }

    /// @inheritdoc IAccounts
    function refund(uint32 member, uint256 amount)
        external
        override
        onlyCurrent(Kinds.CLEARING)
        onlyContract(Kinds.DEMANDS)
    {
        reserved -= amount;
        balanceOf[member] += amount;
        emit Refunded(member, amount);
    }

    /// @inheritdoc IAccounts
    function handOver() external override nonReentrant returns (uint256 amount) {
        if (msg.sender == address(this) || msg.sender != directory.get(Kinds.CLEARING)) {
            revert NotTheSuccessor(msg.sender);
        }
        amount = total;
        total = 0;
        emit HandedOver(msg.sender, amount);
        _credit().safeTransfer(msg.sender, amount);
    }

    function _take(uint32 member, uint256 amount) internal {
        uint256 balance = balanceOf[member];
        if (balance < amount) revert InsufficientBalance(member, balance, amount);
        balanceOf[member] = balance - amount;
    }

    /// @dev Last in its transaction: it calls the token.
    function _burn(uint256 amount) internal {
        if (amount == 0) return;
        total -= amount;
        _credit().burn(amount);
    }

    function _credit() private view returns (ERC20Burnable) {
        return ERC20Burnable(_contract(Kinds.CREDIT));
    }
}
