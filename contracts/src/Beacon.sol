// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Peered} from "./base/Peered.sol";
import {Drawing, IBeacon, OnionView} from "./interfaces/IBeacon.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {StatusTable} from "./libraries/StatusTable.sol";
import {MemberStatus} from "./types/Types.sol";

/// @notice Epochs, beats and seeds. See IBeacon.
///
/// What one epoch's quorum is measured against is fixed before the epoch begins: every change of the active members takes
/// effect after the commit delay. So the quorum, once reached, stands, and is one bit.
///
/// A beat writes two words, the member's and the epoch's, and both were written before, so neither is a new slot. That is
/// why links are 160 bits wide: link, epochs and flags share one word. Who beat when is told by events; the contract
/// keeps each member's last beat and the last epochs' sums.
contract Beacon is IBeacon, Peered {
    using BitMaps for BitMaps.BitMap;
    using Checkpoints for Checkpoints.Trace224;
    using StatusTable for MemberStatus;

    /// @dev Two would do: the sum that this epoch's seed is made of, and the one in the making.
    uint256 private constant RING = 4;

    /// @dev One word. countedFrom: from when the first commitment could have beaten; silence counts from there.
    struct Onion {
        bytes20 tip;
        uint32 lastBeat;
        uint32 countedFrom;
        bool counted;
        bool pending;
    }

    /// @dev A member's newest commitment, the epoch from which it is in effect, and that of the one before it.
    struct Commitment {
        bytes20 tip;
        uint32 from;
        uint32 before;
    }

    /// @dev The sum of one epoch's beats, one word. active: copied from the trace by the first beat.
    struct Round {
        uint160 mix;
        uint32 epoch;
        uint32 beats;
        uint32 active;
    }

    uint32 private immutable COMMIT_DELAY;

    mapping(uint32 member => Onion) private _onions;
    mapping(uint32 member => Commitment) private _commitments;
    Round[RING] private _rounds;
    BitMaps.BitMap private _quorate;
    Checkpoints.Trace224 private _active;

    constructor(IDirectory directory) Peered(directory) {
        COMMIT_DELAY = directory.params().commitDelay;
    }

    /// @inheritdoc IBeacon
    function commit(bytes20 tip) external override {
        (uint32 member, MemberStatus status,) = _members().authority(msg.sender);
        if (member == 0) revert NotAMember(msg.sender);
        if (!status.acts()) revert StatusForbids(member, status);
        if (tip == 0) revert ZeroTip();
        uint32 epoch = currentEpoch();
        uint32 from = epoch + COMMIT_DELAY;
        Onion memory onion = _onion(member, epoch);
        Commitment storage newest = _commitments[member];
        // One that never came into effect is replaced without a trace.
        if (!onion.pending) newest.before = newest.from;
        newest.tip = tip;
        newest.from = from;
        onion.pending = true;
        emit TipCommitted(member, tip, from);
        if (onion.countedFrom == 0) {
            // The first commitment counts at once; after a silence only a beat does, or members that never speak could
            // hold the quorum up for ever.
            onion.countedFrom = from;
            onion.counted = true;
            _count(member, true);
        }
        _onions[member] = onion;
    }

    /// @inheritdoc IBeacon
    function beat(uint32 member, bytes20 link) external override {
        uint32 epoch = currentEpoch();
        if (!beatsOpen()) revert BeatsClosed(epoch, _halfTime(), block.timestamp);
        Onion memory onion = _onion(member, epoch);
        if (onion.tip == 0) revert NoTipInEffect(member, epoch);
        if (onion.lastBeat == epoch) revert AlreadyBeat(epoch, member);
        bytes20 hashed = bytes20(sha256(abi.encodePacked(link)));
        if (hashed != onion.tip) revert WrongLink(member, onion.tip, hashed);

        onion.tip = link;
        onion.lastBeat = epoch;
        bool returns_ = !onion.counted;
        onion.counted = true;
        _onions[member] = onion;
        emit Beat(epoch, member, link);
        _add(epoch, uint160(uint256(keccak256(abi.encode(link, member)))));
        if (returns_) _count(member, true);
    }

    /// @inheritdoc IBeacon
    function standDown(uint32 member) external override {
        Onion storage onion = _onions[member];
        uint32 epoch = currentEpoch();
        uint32 heard = onion.lastBeat > onion.countedFrom ? onion.lastBeat : onion.countedFrom;
        if (!onion.counted || epoch <= heard + _rules().standDownAfter()) {
            revert NotStandingDown(member, heard, epoch);
        }
        onion.counted = false;
        _count(member, false);
    }

    /// @inheritdoc IBeacon
    function retire(uint32 member) external override onlyContract(Kinds.MEMBERS) {
        Onion storage onion = _onions[member];
        bool counted = onion.counted;
        onion.tip = 0;
        onion.pending = false;
        onion.counted = false;
        if (counted) _count(member, false);
    }

    /// @inheritdoc IBeacon
    function seed(uint32 epoch) external view override returns (bytes32 value, bool valid_) {
        if (epoch == 0 || !_quorate.get(epoch - 1)) return (0, false);
        Round storage round = _rounds[(epoch - 1) % RING];
        if (round.epoch != epoch - 1) revert EpochForgotten(epoch - 1);
        return (bytes32(uint256(round.mix)), true);
    }

    /// @inheritdoc IBeacon
    function valid(uint32 epoch) external view override returns (bool) {
        return epoch != 0 && _quorate.get(epoch - 1) && _quorate.get(epoch);
    }

    /// @inheritdoc IBeacon
    function quorate(uint32 epoch) external view override returns (bool) {
        return _quorate.get(epoch);
    }

    /// @inheritdoc IBeacon
    function lastBeatOf(uint32 member) external view override returns (uint32) {
        return _onions[member].lastBeat;
    }

    /// @inheritdoc IBeacon
    function quorateWord(uint32 word) external view override returns (uint256) {
        return _quorate._data[word];
    }

    /// @inheritdoc IBeacon
    function beatCount(uint32 epoch) external view override returns (uint32) {
        Round storage round = _rounds[epoch % RING];
        if (round.epoch > epoch) revert EpochForgotten(epoch);
        return round.epoch == epoch ? round.beats : 0;
    }

    /// @inheritdoc IBeacon
    function activeCount(uint32 epoch) public view override returns (uint32) {
        // Nearly always the newest change is past already.
        (bool any, uint32 from, uint224 active) = _active.latestCheckpoint();
        return any && from <= epoch ? uint32(active) : uint32(_active.upperLookupRecent(epoch));
    }

    /// @inheritdoc IBeacon
    function tipOf(uint32 member) external view override returns (bytes20 tip, uint32 effectiveFrom) {
        Onion storage onion = _onions[member];
        Commitment storage newest = _commitments[member];
        return (onion.pending ? newest.tip : onion.tip, newest.from);
    }

    /// @inheritdoc IBeacon
    function onionOf(uint32 member) external view override returns (OnionView memory shown) {
        Onion memory onion = _onion(member, currentEpoch());
        Commitment storage newest = _commitments[member];
        shown.tip = onion.tip;
        shown.lastBeat = onion.lastBeat;
        shown.counted = onion.counted;
        shown.since = onion.pending ? newest.before : newest.from;
        if (onion.pending) (shown.pending, shown.pendingFrom) = (newest.tip, newest.from);
    }

    /// @inheritdoc IBeacon
    function drawingOf(uint32 member, uint32 epoch) external view override returns (Drawing memory drawing) {
        Onion memory onion = _onion(member, currentEpoch());
        Commitment storage newest = _commitments[member];
        drawing.link = onion.tip;
        drawing.lastBeat = onion.lastBeat;
        drawing.since = onion.pending ? newest.before : newest.from;
        if (epoch == 0) return drawing;
        Round memory round = _rounds[(epoch - 1) % RING];
        if (round.epoch != epoch - 1 || !_isQuorum(round.beats, round.active)) return drawing;
        drawing.seed = bytes32(uint256(round.mix));
        drawing.active = round.active;
    }

    /// @inheritdoc IBeacon
    function beatsOpen() public view override returns (bool) {
        return block.timestamp < _halfTime();
    }

    /// @dev A member's onion as it is in an epoch: with its commitment, if that has come into effect.
    function _onion(uint32 member, uint32 epoch) private view returns (Onion memory onion) {
        onion = _onions[member];
        if (!onion.pending || _commitments[member].from > epoch) return onion;
        onion.tip = _commitments[member].tip;
        onion.pending = false;
    }

    /// @dev Adds one beat to the epoch's sum. The beat that makes the quorum is the one that was missing before.
    function _add(uint32 epoch, uint160 share) private {
        Round memory round = _rounds[epoch % RING];
        if (round.epoch != epoch) round = Round(0, epoch, 0, activeCount(epoch));
        round.mix ^= share;
        ++round.beats;
        _rounds[epoch % RING] = round;
        if (_isQuorum(round.beats, round.active) && !_isQuorum(round.beats - 1, round.active)) {
            _quorate.set(epoch);
            emit QuorumReached(epoch, round.beats, round.active);
        }
    }

    function _isQuorum(uint256 beats, uint256 active) private pure returns (bool) {
        return active != 0 && beats * 3 >= active * 2;
    }

    function _count(uint32 member, bool counted) private {
        uint32 from = currentEpoch() + COMMIT_DELAY;
        uint32 newest = uint32(_active.latest());
        uint32 active = counted ? newest + 1 : newest - 1;
        _active.push(from, active);
        emit ActiveMembersChanged(member, counted, from, active);
    }
}
