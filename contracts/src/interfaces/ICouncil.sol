// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice One call that the council makes.
struct Call {
    address target;
    bytes data;
}

/// @notice OPEN: approvals are missing. WAITING: passed, and its delay runs. READY: anyone may execute it.
enum ProposalState {
    NONE,
    OPEN,
    WAITING,
    READY,
    EXECUTED,
    CANCELLED,
    EXPIRED
}

/// @notice A proposal as it stands. approvals: of those who hold a seat now. ready: the first epoch in which it may be
/// executed, the highest number while it has not passed. expires: the first epoch in which it is void.
struct ProposalView {
    address proposer;
    ProposalState state;
    bool delayed;
    uint32 approvals;
    uint32 ready;
    uint32 expires;
}

/// @notice The consortium: seats, k of which act together. It owns the Directory, operates Members and mints Credit.
///
/// A proposal is a list of calls, made in order, all or none. Every call waits `delay` epochs after the proposal has
/// passed, for all to see, except those that cannot wait and those that the Directory itself announces: admissions,
/// suspensions and reinstatements, the issue of credits, decisions on appeals, changes of rules, and taking over a
/// Directory that was offered. One call that has to wait makes its whole proposal wait.
interface ICouncil {
    error NotASeat(address sender);
    /// @notice Only the council itself, by a proposal.
    error OnlyCouncil(address sender);
    /// @notice At least one seat and at most 32, none of them zero or twice; a threshold from 1 to their number.
    error BadSeats(uint256 seats, uint256 threshold);
    error NoCalls();
    error UnknownProposal(bytes32 id);
    error WrongState(bytes32 id, ProposalState state);
    error ApprovedAlready(bytes32 id, address seat);
    error NotApproved(bytes32 id, address seat);
    error NotTheProposer(bytes32 id, address proposer);

    event Proposed(
        bytes32 indexed id, uint64 indexed number, address indexed proposer, Call[] calls, bool delayed, uint32 expires
    );
    /// @param ready The first epoch in which it may be executed; the highest number while approvals are missing.
    event Approved(bytes32 indexed id, address indexed seat, uint32 approvals, uint32 ready);
    event ApprovalWithdrawn(bytes32 indexed id, address indexed seat, uint32 approvals, uint32 ready);
    event Executed(bytes32 indexed id);
    event Cancelled(bytes32 indexed id);
    event SeatsChanged(address[] seats, uint256 threshold);

    /// @notice Proposes calls, and approves them. A seat only.
    /// @return id Digest of this council, the proposal's number and its calls: what a seat approves is what it has read.
    function propose(Call[] calldata calls) external returns (bytes32 id);

    /// @notice Approves an open proposal, or one that has passed. A seat only, once.
    function approve(bytes32 id) external;

    /// @notice Takes one's approval back, before the execution. If too few remain, the delay starts anew when enough
    /// approve again. A seat only.
    function withdraw(bytes32 id) external;

    /// @notice Makes a proposal's calls, once. Anyone, when it has passed and its delay is over.
    function execute(bytes32 id, Call[] calldata calls) external;

    /// @notice Ends a proposal before its execution. Its proposer only, while it holds a seat.
    function cancel(bytes32 id) external;

    /// @notice Names all seats and the threshold anew; what is proposed stays, and counts the approvals of those who hold
    /// a seat at its execution. The council itself only.
    function seat(address[] calldata holders, uint256 threshold_) external;

    function get(bytes32 id) external view returns (ProposalView memory);

    /// @notice Whether a seat has approved a proposal.
    function approvedBy(bytes32 id, address holder) external view returns (bool);

    function seats() external view returns (address[] memory);

    /// @notice How many seats act together.
    function threshold() external view returns (uint256);

    /// @notice Epochs that a call waits after its proposal has passed: the Directory's rulesDelay.
    function delay() external view returns (uint32);

    /// @notice Number of proposals ever made.
    function count() external view returns (uint64);
}
