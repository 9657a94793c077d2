// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementState} from "../types/Types.sol";

enum DemandState {
    NONE,
    OPEN,
    ANSWERED,
    UNANSWERED,
    VOID
}

/// @notice A client's demand that its provider publish leaves of what it keeps.
/// @param root Of the revision that was frozen when it was made, as are sequence and leaves. indices: the leaves, ascending.
/// @param epoch In which it was made. until: the last epoch to answer in.
/// @param deposit Micro-credits that the answer earns.
struct Demand {
    bytes32 agreement;
    bytes32 root;
    uint64 sequence;
    uint64 leaves;
    uint32 client;
    uint32 provider;
    uint32 epoch;
    uint32 until;
    DemandState state;
    uint64 deposit;
    uint64[] indices;
}

/// @notice Forced publication of named leaves, for a client whose provider proves but does not serve.
///
/// The client sets a deposit aside for each leaf. The provider publishes the leaves by a proof, as it makes one each epoch
/// anyhow, and earns the deposit; or it does not, and loses a heavy part of its collateral, while the deposit goes back. An
/// epoch of the time to answer that was void, for want of a quorum, makes the demand void: nobody can tell whether the
/// chain took transactions then.
interface IDemands {
    error NotTheClient(bytes32 agreement, uint32 member);
    error NotTheProvider(uint256 demand, uint32 member);
    error NotLive(bytes32 agreement, AgreementState state);
    /// @notice No leaf, more than may be demanded of an agreement in an epoch, or not ascending, or not in the revision.
    error BadIndices(bytes32 agreement, uint256 position);
    error OverCap(bytes32 agreement, uint256 demanded, uint256 cap);
    /// @notice It could not be closed before the agreement's last settlement.
    error DemandTooLate(bytes32 agreement, uint32 until, uint32 endEpoch);
    /// @notice The provider reported the loss of this leaf, and paid for it.
    error LeafReportedLost(bytes32 agreement, uint64 index);
    error InMaintenance(uint32 provider, uint32 epoch);
    error NotOpen(uint256 demand, DemandState state);
    error AnswerTooLate(uint256 demand, uint32 until, uint32 epoch);
    error CloseTooEarly(uint256 demand, uint32 until, uint32 epoch);
    /// @notice The proof leads to another root or leaf count, or does not open exactly the demanded leaves.
    error WrongAnswer(uint256 demand, bytes32 folded, uint256 leaves);

    event Demanded(
        uint256 indexed demand,
        bytes32 indexed agreement,
        uint32 indexed provider,
        uint32 client,
        bytes32 root,
        uint64 leaves,
        uint64[] indices,
        uint32 until,
        uint256 deposit
    );
    /// @notice The leaves are in the proof (libraries/SumTree), for the client to read.
    event Answered(uint256 indexed demand, bytes32 indexed agreement, bytes proof);
    event Closed(uint256 indexed demand, bytes32 indexed agreement, DemandState state);

    /// @notice Demands leaves of the frozen revision. A key of the agreement's client, suspended or not, while it is live; not
    /// while the provider has declared maintenance for an epoch of the time to answer.
    /// @param indices Ascending, demandCap at most for an agreement and epoch.
    /// @return number Of the demand, from 1.
    function demand(bytes32 agreement, uint64[] calldata indices) external returns (uint256 number);

    /// @notice Publishes the demanded leaves and earns the deposit. A key of the provider, through the epoch `until`.
    function answer(uint256 number, bytes calldata proof) external;

    /// @notice Ends a demand that was not answered. Anyone, after the epoch `until`.
    function close(uint256 number) external;

    function get(uint256 number) external view returns (Demand memory);

    /// @notice Numbers of a provider's open demands, in no order: what a node looks for.
    function openOf(uint32 provider) external view returns (uint256[] memory);

    /// @notice Demands ever made; the newest one's number.
    function count() external view returns (uint256);
}
