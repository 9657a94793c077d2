// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";

/// @notice The unit of account, six decimals: an ERC-20 token that the consortium mints against what members pay in.
contract Credit is ERC20Burnable, AccessControl {
    bytes32 public constant MINTER_ROLE = keccak256("MINTER_ROLE");

    /// @dev The Directory's owner administers the roles and mints, until it grants others.
    constructor(IDirectory directory) ERC20("Peerage credit", "PEER") {
        address operator = Ownable(address(directory)).owner();
        _grantRole(DEFAULT_ADMIN_ROLE, operator);
        _grantRole(MINTER_ROLE, operator);
    }

    /// @notice Issues credits. Minters only.
    function mint(address to, uint256 amount) external onlyRole(MINTER_ROLE) {
        _mint(to, amount);
    }

    /// @notice Six: an amount of 1,000,000 is one credit.
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
