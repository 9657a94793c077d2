// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Terms} from "../types/Types.sol";
import {IAccounts} from "./IAccounts.sol";
import {IDockets} from "./IDockets.sol";

/// @notice An agreement's money and record. nextEpoch: the first epoch not yet settled. deferred: pay of void epochs and for
/// traffic, earned by the next valid proof. graceUntil: last epoch to pay in, 0 when not in grace. bytesDown: the traffic that
/// is accounted for. paid, compensated, burned: totals so far; of the last two, contested penalties are parts. missBits: the
/// last 64 judged epochs, bit 0 the newest, 1 a miss; recentMisses: those in the window.
struct LedgerView {
    uint256 escrow;
    uint256 collateral;
    uint256 deferred;
    uint256 paid;
    uint256 compensated;
    uint256 burned;
    uint64 bytesDown;
    uint64 missBits;
    uint32 nextEpoch;
    uint32 graceUntil;
    uint32 misses;
    uint32 recentMisses;
    uint32 dockets;
}

/// @notice Every credit in the network: members' accounts, escrows, collaterals; settlement and penalties.
interface IClearing is IAccounts, IDockets {
    event Held(bytes32 indexed id, uint32 indexed client, uint32 indexed provider, uint256 escrow, uint256 collateral);
    /// @notice More collateral from the provider and escrow from the client, for changed terms.
    event Topped(bytes32 indexed id, uint256 collateral, uint256 escrow);
    /// @notice Pay for traffic that both sides signed for, deferred to the next valid proof.
    event TrafficCharged(bytes32 indexed id, uint64 bytesDown, uint256 amount);
    /// @notice A settlement of the epochs from `from` to before `until`. excused: missed in declared maintenance. paid: to the
    /// provider, out of escrow; funded: into escrow, out of the client's account.
    event Settled(
        bytes32 indexed id,
        uint32 from,
        uint32 until,
        uint32 proven,
        uint32 missed,
        uint32 voided,
        uint32 excused,
        uint256 paid,
        uint256 funded
    );
    event Missed(bytes32 indexed id, uint32 indexed epoch, uint32 inWindow);
    /// @notice A penalty for an epoch missed, or for a demand not answered by then. contested: it waits in a docket.
    event Penalised(bytes32 indexed id, uint32 indexed epoch, uint256 toClient, uint256 burned, bool contested);
    /// @notice What a loss that the provider reported itself cost it; to the client.
    event LossCharged(bytes32 indexed id, uint32 indexed epoch, uint64 leaves, uint256 amount);
    /// @notice What leaving cost the side that left; to the other. By the client: fromEscrow of it out of escrow.
    event ExitCharged(bytes32 indexed id, uint32 indexed epoch, bool byClient, uint256 amount, uint256 fromEscrow);
    event EscrowEmpty(bytes32 indexed id, uint32 epoch, uint32 graceUntil);
    event Released(bytes32 indexed id, uint256 toClient, uint256 toProvider);

    /// @notice Sets aside escrow and collateral for a new agreement. Agreements only.
    function hold(bytes32 id, Terms calldata terms) external;

    /// @notice Adds to the collateral of an agreement whose terms have just changed, and fills its escrow to what they ask for.
    /// Agreements only.
    function top(bytes32 id, uint64 more) external;

    /// @notice Charges the side that leaves early: the provider what re-replication costs, out of its collateral; the client
    /// repairEpochs of pay, out of its account and then its escrow. Agreements only.
    function chargeExit(bytes32 id, bool byClient) external;

    /// @notice Charges a provider that reported a loss half of what re-replicating those leaves costs, out of its collateral.
    /// Proofs only.
    function chargeLoss(bytes32 id, uint64 leaves) external;

    /// @notice Takes a heavy penalty for a demand that was not answered; nothing, once the agreement is over. Demands only.
    function penaliseDemand(bytes32 id) external;

    /// @notice Settles the closed epochs of an agreement, 4,096 at most. Anyone; nothing happens when there is nothing to do.
    /// It costs by runs of equal leaf counts and words of 256 epochs, and by misses, not by epochs.
    function settle(bytes32 id) external;

    function settleMany(bytes32[] calldata ids) external;

    function escrowOf(bytes32 id) external view returns (uint256);

    function collateralOf(bytes32 id) external view returns (uint256);

    function ledgerOf(bytes32 id) external view returns (LedgerView memory);

    /// @notice Percent of the original collateral that the n-th miss in the window costs.
    function penaltyPercent(uint256 n) external pure returns (uint256);

    /// @notice The last epoch that a settlement may cover now.
    function lastClosedEpoch() external view returns (uint32);
}
