// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Peered} from "./base/Peered.sol";
import {IAgreements, Standing} from "./interfaces/IAgreements.sol";
import {IBeacon} from "./interfaces/IBeacon.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {ChallengeView, IProofs} from "./interfaces/IProofs.sol";
import {StateTable} from "./libraries/StateTable.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {AgreementState, Possession} from "./types/Types.sol";

/// @notice Challenges and proofs. See IProofs.
contract Proofs is IProofs, Peered {
    using BitMaps for BitMaps.BitMap;
    using StateTable for AgreementState;

    uint256 private immutable SAMPLES;

    mapping(bytes32 agreement => BitMaps.BitMap) private _proven;

    constructor(IDirectory directory) Peered(directory) {
        SAMPLES = directory.params().samples;
    }

    /// @inheritdoc IProofs
    function prove(Possession[] calldata possessions) external override {
        uint32 member = _sender();
        uint32 epoch = currentEpoch();
        IBeacon beacon = _beacon();
        (bytes32 seed, bool seeded) = beacon.seed(epoch);
        if (!seeded) revert EpochVoid(epoch);
        uint32 beat = beacon.lastBeatOf(member);
        if (beat != epoch) revert NotBeaten(member, beat, epoch);
        IAgreements agreements = _agreements();
        for (uint256 i = 0; i < possessions.length; ++i) {
            _prove(possessions[i], agreements, member, epoch, seed);
        }
    }

    /// @inheritdoc IProofs
    function challenge(bytes32 agreement, uint32 epoch)
        external
        view
        override
        returns (bool due, bytes32 seed, uint64 sequence, bytes32 root, uint64 leaves, uint64[] memory indices)
    {
        ChallengeView memory shown = _challenge(agreement, epoch);
        return (shown.due, shown.seed, shown.sequence, shown.root, shown.leaves, shown.indices);
    }

    /// @inheritdoc IProofs
    function challenges(bytes32[] calldata agreements, uint32 epoch)
        external
        view
        override
        returns (ChallengeView[] memory shown)
    {
        shown = new ChallengeView[](agreements.length);
        for (uint256 i = 0; i < agreements.length; ++i) {
            shown[i] = _challenge(agreements[i], epoch);
        }
    }

    /// @inheritdoc IProofs
    function proven(bytes32 agreement, uint32 epoch) external view override returns (bool) {
        return _proven[agreement].get(epoch);
    }

    /// @inheritdoc IProofs
    function provenWord(bytes32 agreement, uint32 word) external view override returns (uint256) {
        return _proven[agreement]._data[word];
    }

    function _prove(Possession calldata possession, IAgreements agreements, uint32 member, uint32 epoch, bytes32 seed)
        private
    {
        bytes32 id = possession.agreement;
        Standing memory standing = agreements.standing(id, epoch);
        if (standing.provider != member) revert NotProvider(id, standing.provider, msg.sender);
        if (_proven[id].get(epoch)) return;
        if (!_isDue(standing, epoch)) revert NothingDue(id, standing.state, standing.leaves, epoch);
        _verify(id, standing, seed, possession.proof);
        _proven[id].set(epoch);
        emit Proven(id, epoch, member);
    }

    function _verify(bytes32 id, Standing memory standing, bytes32 seed, bytes calldata proof) private view {
        (bytes32 root, uint256 leaves, uint256[] memory opened) = SumTree.fold(proof, SAMPLES);
        if (root != standing.root || leaves != standing.leaves) revert WrongRoot(id, standing.root, root, leaves);
        bytes32 own = _ownSeed(seed, id, standing.provider);
        uint256 count;
        for (uint256 i = 0; i < SAMPLES; ++i) {
            (bool asked, uint256 index) = _index(own, i, leaves);
            if (!asked) continue;
            if (count == opened.length) revert LeafMissing(id, index);
            if (opened[count] != index) revert WrongLeaf(id, index, opened[count]);
            ++count;
        }
        if (count != opened.length) revert WrongLeaf(id, leaves, opened[count]);
    }

    function _challenge(bytes32 id, uint32 epoch) private view returns (ChallengeView memory shown) {
        Standing memory standing = _agreements().standing(id, epoch);
        bool seeded;
        (shown.seed, seeded) = _beacon().seed(epoch);
        shown.agreement = id;
        shown.due = seeded && _isDue(standing, epoch);
        shown.proven = _proven[id].get(epoch);
        shown.sequence = standing.sequence;
        shown.root = standing.root;
        shown.leaves = standing.leaves;
        if (!shown.due) return shown;
        bytes32 own = _ownSeed(shown.seed, id, standing.provider);
        uint64[] memory indices = new uint64[](SAMPLES);
        uint256 count;
        for (uint256 i = 0; i < SAMPLES; ++i) {
            (bool asked, uint256 index) = _index(own, i, standing.leaves);
            if (asked) indices[count++] = uint64(index);
        }
        assembly ("memory-safe") {
            mstore(indices, count)
        }
        shown.indices = indices;
    }

    function _isDue(Standing memory standing, uint32 epoch) private pure returns (bool) {
        return
            standing.leaves != 0 && standing.state.live() && epoch >= standing.startEpoch && epoch < standing.endEpoch;
    }

    /// @dev What the epoch's seed makes for this agreement alone: another's proof answers other questions.
    function _ownSeed(bytes32 seed, bytes32 id, uint32 provider) private view returns (bytes32) {
        return keccak256(abi.encode(seed, block.chainid, address(this), id, provider));
    }

    /// @dev One leaf out of each equal part: never less likely to find a loss than leaves out of the whole, ascending, and each
    /// once. Of an agreement with fewer leaves than samples, some parts are empty and every leaf is asked for.
    function _index(bytes32 own, uint256 i, uint256 leaves) private view returns (bool asked, uint256 index) {
        unchecked {
            // 64 bits of leaves by 8 of samples.
            uint256 from = leaves * i / SAMPLES;
            uint256 size = leaves * (i + 1) / SAMPLES - from;
            if (size == 0) return (false, 0);
            uint256 drawn;
            // keccak256(abi.encode(own, i)), without taking memory for each.
            assembly ("memory-safe") {
                mstore(0x00, own)
                mstore(0x20, i)
                drawn := keccak256(0x00, 0x40)
            }
            return (true, from + drawn % size);
        }
    }
}
