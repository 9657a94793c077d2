// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {Credit} from "./Credit.sol";
import {Peered} from "./base/Peered.sol";
import {Call, ICouncil, ProposalState, ProposalView} from "./interfaces/ICouncil.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IDockets} from "./interfaces/IDockets.sol";
import {IMembers} from "./interfaces/IMembers.sol";
import {Kinds} from "./libraries/Kinds.sol";

/// @notice The consortium's k of n. See ICouncil.
contract Council is ICouncil, Peered {
    using Address for address;
    using EnumerableSet for EnumerableSet.AddressSet;

    uint256 private constant MAX_SEATS = 32;
    /// @dev Epochs to gather approvals and to execute in, besides the delay.
    uint32 private constant LIFETIME = 256;
    uint32 private constant NEVER = type(uint32).max;

    /// @dev ended: executed or cancelled; expiry follows from the clock.
    struct Proposal {
        address proposer;
        uint64 number;
        ProposalState ended;
        bool delayed;
        uint32 ready;
        uint32 expires;
        mapping(address holder => bool) approved;
    }

    /// @inheritdoc ICouncil
    uint32 public immutable override delay;
    /// @inheritdoc ICouncil
    uint256 public override threshold;
    /// @inheritdoc ICouncil
    uint64 public override count;
    EnumerableSet.AddressSet private _seats;
    mapping(bytes32 id => Proposal) private _proposals;

    modifier onlySeat() {
        if (!_seats.contains(msg.sender)) revert NotASeat(msg.sender);
        _;
    }

    constructor(IDirectory directory_, address[] memory holders, uint256 threshold_) Peered(directory_) {
        delay = directory_.params().rulesDelay;
        _seat(holders, threshold_);
    }

    /// @inheritdoc ICouncil
    function propose(Call[] calldata calls) external override onlySeat returns (bytes32 id) {
        if (calls.length == 0) revert NoCalls();
        uint64 number = ++count;
        id = _idOf(number, calls);
        Proposal storage proposal = _proposals[id];
        proposal.proposer = msg.sender;
        proposal.number = number;
        proposal.ready = NEVER;
        proposal.expires = currentEpoch() + delay + LIFETIME;
        for (uint256 i = 0; i < calls.length && !proposal.delayed; ++i) {
            proposal.delayed = !_mayHurry(calls[i].target, bytes4(calls[i].data));
        }
        emit Proposed(id, number, msg.sender, calls, proposal.delayed, proposal.expires);
        _approve(id, proposal);
    }

    /// @inheritdoc ICouncil
    function approve(bytes32 id) external override onlySeat {
        Proposal storage proposal = _alive(id);
        if (proposal.approved[msg.sender]) revert ApprovedAlready(id, msg.sender);
        _approve(id, proposal);
    }

    /// @inheritdoc ICouncil
    function withdraw(bytes32 id) external override onlySeat {
        Proposal storage proposal = _alive(id);
        if (!proposal.approved[msg.sender]) revert NotApproved(id, msg.sender);
        proposal.approved[msg.sender] = false;
        uint32 approvals = _approvals(proposal);
        if (approvals < threshold) proposal.ready = NEVER;
        emit ApprovalWithdrawn(id, msg.sender, approvals, proposal.ready);
    }

    /// @inheritdoc ICouncil
    function execute(bytes32 id, Call[] calldata calls) external override {
        Proposal storage proposal = _proposals[id];
        ProposalState state = _stateOf(proposal);
        if (state == ProposalState.NONE || id != _idOf(proposal.number, calls)) revert UnknownProposal(id);
        if (state != ProposalState.READY) revert WrongState(id, state);
        // Before the calls: whatever they lead to, this proposal is over.
        proposal.ended = ProposalState.EXECUTED;
        emit Executed(id);
        for (uint256 i = 0; i < calls.length; ++i) {
            calls[i].target.functionCall(calls[i].data);
        }
    }

    /// @inheritdoc ICouncil
    function cancel(bytes32 id) external override onlySeat {
        Proposal storage proposal = _alive(id);
        if (proposal.proposer != msg.sender) revert NotTheProposer(id, proposal.proposer);
        proposal.ended = ProposalState.CANCELLED;
        emit Cancelled(id);
    }

    /// @inheritdoc ICouncil
    function seat(address[] calldata holders, uint256 threshold_) external override {
        if (msg.sender != address(this)) revert OnlyCouncil(msg.sender);
        _seat(holders, threshold_);
    }

    /// @inheritdoc ICouncil
    function get(bytes32 id) external view override returns (ProposalView memory) {
        Proposal storage proposal = _proposals[id];
        return ProposalView(
            proposal.proposer,
            _stateOf(proposal),
            proposal.delayed,
            _approvals(proposal),
            proposal.ready,
            proposal.expires
        );
    }

    /// @inheritdoc ICouncil
    function approvedBy(bytes32 id, address holder) external view override returns (bool) {
        return _proposals[id].approved[holder];
    }

    /// @inheritdoc ICouncil
    function seats() external view override returns (address[] memory) {
        return _seats.values();
    }

    function _approve(bytes32 id, Proposal storage proposal) private {
        proposal.approved[msg.sender] = true;
        uint32 approvals = _approvals(proposal);
        if (proposal.ready == NEVER && approvals >= threshold) {
            proposal.ready = currentEpoch() + (proposal.delayed ? delay : 0);
        }
        emit Approved(id, msg.sender, approvals, proposal.ready);
    }

    function _seat(address[] memory holders, uint256 threshold_) private {
        if (holders.length > MAX_SEATS || threshold_ == 0 || threshold_ > holders.length) {
            revert BadSeats(holders.length, threshold_);
        }
        for (uint256 i = _seats.length(); i != 0; --i) {
            _seats.remove(_seats.at(i - 1));
        }
        for (uint256 i = 0; i < holders.length; ++i) {
            if (holders[i] == address(0) || !_seats.add(holders[i])) revert BadSeats(holders.length, threshold_);
        }
        threshold = threshold_;
        emit SeatsChanged(holders, threshold_);
    }

    function _alive(bytes32 id) private view returns (Proposal storage proposal) {
        proposal = _proposals[id];
        ProposalState state = _stateOf(proposal);
        if (state == ProposalState.NONE) revert UnknownProposal(id);
        if (state >= ProposalState.EXECUTED) revert WrongState(id, state);
    }

    function _stateOf(Proposal storage proposal) private view returns (ProposalState) {
        if (proposal.number == 0 || proposal.ended != ProposalState.NONE) return proposal.ended;
        uint32 epoch = currentEpoch();
        if (epoch >= proposal.expires) return ProposalState.EXPIRED;
        if (proposal.ready == NEVER || _approvals(proposal) < threshold) return ProposalState.OPEN;
        return epoch < proposal.ready ? ProposalState.WAITING : ProposalState.READY;
    }

    /// @dev Of those who hold a seat now: a key that was replaced has no say any more.
    function _approvals(Proposal storage proposal) private view returns (uint32 approvals) {
        for (uint256 i = _seats.length(); i != 0; --i) {
            if (proposal.approved[_seats.at(i - 1)]) ++approvals;
        }
    }

    function _mayHurry(address target, bytes4 method) private view returns (bool) {
        if (target == address(directory)) {
            return method == IDirectory.announceRules.selector || method == IDirectory.cancelRules.selector
                || method == Ownable2Step.acceptOwnership.selector;
        }
        if (target == directory.get(Kinds.MEMBERS)) {
            return method == IMembers.admit.selector || method == IMembers.suspend.selector
                || method == IMembers.reinstate.selector;
        }
        if (target == directory.get(Kinds.CREDIT)) return method == Credit.mint.selector;
        return target == directory.get(Kinds.CLEARING) && method == IDockets.decide.selector;
    }

    function _idOf(uint64 number, Call[] calldata calls) private view returns (bytes32) {
        return keccak256(abi.encode(address(this), number, calls));
    }
}
