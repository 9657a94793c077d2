// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Peered} from "./base/Peered.sol";
import {IBeacon, OnionView} from "./interfaces/IBeacon.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";

/// @notice Epochs, beats and seeds. See IBeacon.
///
/// What one epoch's quorum is measured against is fixed before the epoch begins: every change of the active members takes
/// effect after the commit delay. So the quorum, once reached, stands, and is one bit.
contract Beacon is IBeacon, Peered {
    using BitMaps for BitMaps.BitMap;
    using Checkpoints for Checkpoints.Trace224;

    uint32 private immutable COMMIT_DELAY;
    uint32 private immutable STAND_DOWN_AFTER;

    mapping(uint32 member => OnionView) private _onions;
    mapping(uint32 epoch => bytes32) private _mixed;
    mapping(uint32 epoch => uint32) private _beats;
    mapping(uint32 member => BitMaps.BitMap) private _seen;
    BitMaps.BitMap private _quorate;
    Checkpoints.Trace224 private _active;

    constructor(IDirectory directory) Peered(directory) {
        COMMIT_DELAY = directory.params().commitDelay;
        STAND_DOWN_AFTER = directory.params().standDownAfter;
    }

    /// @inheritdoc IBeacon
    function commit(bytes32 tip) external override {
        uint32 member = _sender();
        if (tip == 0) revert ZeroTip();
        OnionView storage onion = _onions[member];
        uint32 epoch = currentEpoch();
        _adoptPending(onion, epoch);
        onion.pending = tip;
        onion.pendingFrom = epoch + COMMIT_DELAY;
        if (onion.lastSeen == 0) {
            // The first commitment counts at once; after a silence only a beat does, or members that never speak could
            // hold the quorum up for ever. Silence is counted from the epoch in which the member could have spoken.
            onion.lastSeen = onion.pendingFrom;
            _count(member, onion, true);
        }
        emit TipCommitted(member, tip, onion.pendingFrom);
    }

    /// @inheritdoc IBeacon
    function beat(bytes32 link) external override {
        uint32 member = _sender();
        uint32 epoch = currentEpoch();
        if (!beatsOpen()) revert BeatsClosed(epoch, _halfTime(), block.timestamp);
        if (_seen[member].get(epoch)) revert AlreadyBeat(epoch, member);
        OnionView storage onion = _onions[member];
        _adoptPending(onion, epoch);
        if (onion.tip == 0) revert NoTipInEffect(member, epoch);
        bytes32 hashed = sha256(abi.encodePacked(link));
        if (hashed != onion.tip) revert WrongLink(member, onion.tip, hashed);

        onion.tip = link;
        onion.lastSeen = epoch;
        _seen[member].set(epoch);
        _mixed[epoch] ^= keccak256(abi.encode(link, member));
        uint32 beats = ++_beats[epoch];
        emit Beat(epoch, member, link);

        uint32 active = activeCount(epoch);
        if (active != 0 && uint256(beats) * 3 >= uint256(active) * 2 && !_quorate.get(epoch)) {
            _quorate.set(epoch);
            emit QuorumReached(epoch, beats, active);
        }
        if (!onion.counted) _count(member, onion, true);
    }

    /// @inheritdoc IBeacon
    function standDown(uint32 member) external override {
        OnionView storage onion = _onions[member];
        uint32 epoch = currentEpoch();
        if (!onion.counted || epoch <= uint256(onion.lastSeen) + STAND_DOWN_AFTER) {
            revert NotStandingDown(member, onion.lastSeen, epoch);
        }
        _count(member, onion, false);
    }

    /// @inheritdoc IBeacon
    function seed(uint32 epoch) external view override returns (bytes32 value, bool) {
        if (epoch == 0 || !_quorate.get(epoch - 1)) return (0, false);
        return (_mixed[epoch - 1], true);
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
    function hasBeat(uint32 epoch, uint32 member) external view override returns (bool) {
        return _seen[member].get(epoch);
    }

    /// @inheritdoc IBeacon
    function beatWord(uint32 member, uint32 word) external view override returns (uint256) {
        return _seen[member]._data[word];
    }

    /// @inheritdoc IBeacon
    function verdictWord(uint32 word) external view override returns (uint256 validBits, uint256 followed) {
        uint256 own = _quorate._data[word];
        uint256 before = word == 0 ? 0 : _quorate._data[word - 1];
        validBits = own & ((own << 1) | (before >> 255));
        followed = (own >> 1) | (_quorate._data[uint256(word) + 1] << 255);
    }

    /// @inheritdoc IBeacon
    function beatCount(uint32 epoch) external view override returns (uint32) {
        return _beats[epoch];
    }

    /// @inheritdoc IBeacon
    function activeCount(uint32 epoch) public view override returns (uint32) {
        return uint32(_active.upperLookupRecent(epoch));
    }

    /// @inheritdoc IBeacon
    function tipOf(uint32 member) external view override returns (bytes32 tip, uint32 effectiveFrom) {
        OnionView storage onion = _onions[member];
        return onion.pending != 0 ? (onion.pending, onion.pendingFrom) : (onion.tip, onion.since);
    }

    /// @inheritdoc IBeacon
    function onionOf(uint32 member) external view override returns (OnionView memory) {
        return _onions[member];
    }

    /// @inheritdoc IBeacon
    function beatsOpen() public view override returns (bool) {
        return block.timestamp < _halfTime();
    }

    function _adoptPending(OnionView storage onion, uint32 epoch) private {
        if (onion.pending == 0 || onion.pendingFrom > epoch) return;
        onion.tip = onion.pending;
        onion.since = onion.pendingFrom;
        onion.pending = 0;
        onion.pendingFrom = 0;
    }

    function _count(uint32 member, OnionView storage onion, bool counted) private {
        onion.counted = counted;
        uint32 from = currentEpoch() + COMMIT_DELAY;
        uint32 newest = uint32(_active.latest());
        uint32 active = counted ? newest + 1 : newest - 1;
        _active.push(from, active);
        emit ActiveMembersChanged(member, counted, from, active);
    }
}
