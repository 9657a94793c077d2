// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Terms} from "../types/Types.sol";

/// @notice An agreement's money. nextEpoch: the first epoch not yet settled. deferred: pay of void epochs, earned by the next
/// valid proof. graceUntil: last epoch to pay in, 0 when not in grace. paid, compensated, burned: totals so far.
struct LedgerView {
    uint256 escrow;
    uint256 collateral;
    uint256 deferred;
    uint256 paid;
    uint256 compensated;
    uint256 burned;
    uint32 nextEpoch;
    uint32 graceUntil;
    uint32 misses;
    uint32 recentMisses;
}

/// @notice Every credit in the network: members' accounts, escrows, collaterals; settlement and penalties.
interface IClearing {
    error UnknownMember(uint32 member);
    /// @notice Only a member's account moves credits out; a node key never does.
    error NotAnAccount(address sender);
    error InsufficientBalance(uint32 member, uint256 balance, uint256 needed);
    error BadRecipient(address to);

    event Deposited(uint32 indexed member, address indexed from, uint256 amount);
    event Withdrawn(uint32 indexed member, address indexed to, uint256 amount);
    event Held(bytes32 indexed id, uint32 indexed client, uint32 indexed provider, uint256 escrow, uint256 collateral);
    event EscrowFunded(bytes32 indexed id, uint256 amount);
    /// @notice A settlement of the epochs from `from` through `to`. paid: to the provider, out of escrow.
    event Settled(
        bytes32 indexed id, uint32 from, uint32 to, uint32 proven, uint32 missed, uint32 voided, uint256 paid
    );
    event Missed(bytes32 indexed id, uint32 indexed epoch, uint32 inWindow);
    event Penalised(bytes32 indexed id, uint32 indexed epoch, uint256 toClient, uint256 burned);
    event EscrowEmpty(bytes32 indexed id, uint32 epoch, uint32 graceUntil);
    event Released(bytes32 indexed id, uint256 toClient, uint256 toProvider);

    /// @notice Pulls credits from the sender into a member's account. Anyone who approved them.
    function depositFor(uint32 member, uint256 amount) external;

    /// @notice Sends credits out. A member's account only, suspended or not.
    function withdraw(uint256 amount, address to) external;

    /// @notice Sets aside escrow and collateral for a new agreement. Agreements only.
    function hold(bytes32 id, Terms calldata terms) external;

    /// @notice Settles the closed epochs of an agreement, 256 at most. Anyone; nothing happens when there is nothing to do.
    function settle(bytes32 id) external;

    function settleMany(bytes32[] calldata ids) external;

    function balanceOf(uint32 member) external view returns (uint256);

    function escrowOf(bytes32 id) external view returns (uint256);

    function collateralOf(bytes32 id) external view returns (uint256);

    function ledgerOf(bytes32 id) external view returns (LedgerView memory);

    /// @notice Sum of all accounts, escrows and collaterals: what this contract holds in credits.
    function total() external view returns (uint256);

    /// @notice Percent of the original collateral that the n-th miss in the window costs.
    function penaltyPercent(uint256 n) external pure returns (uint256);

    /// @notice The last epoch that a settlement may cover now.
    function lastClosedEpoch() external view returns (uint32);
}
