// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Peered} from "./base/Peered.sol";
import {IAgreements, Standing} from "./interfaces/IAgreements.sol";
import {IBeacon} from "./interfaces/IBeacon.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {ChallengeView, IProofs, Loss} from "./interfaces/IProofs.sol";
import {Rules} from "./libraries/RuleSet.sol";
import {StateTable} from "./libraries/StateTable.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {AgreementState, Possession} from "./types/Types.sol";

/// @notice Challenges and proofs. See IProofs.
contract Proofs is IProofs, Peered {
    using BitMaps for BitMaps.BitMap;
    using StateTable for AgreementState;

    /// @dev A challenge may ask for what was known two epochs before: links become public during the epoch before it.
    uint32 private constant FREEZE_EPOCHS = 2;

    /// @dev What is the same for all proofs of a transaction.
    struct Round {
        IAgreements agreements;
        uint32 member;
        uint32 epoch;
        bytes32 seed;
        uint256 samples;
    }

    mapping(bytes32 agreement => BitMaps.BitMap) private _proven;
    mapping(bytes32 agreement => BitMaps.BitMap) private _impaired;
    mapping(bytes32 agreement => Loss) private _loss;

    constructor(IDirectory directory) Peered(directory) {}

    /// @inheritdoc IProofs
    function prove(Possession[] calldata possessions) external override {
        uint32 member = _sender();
        uint32 epoch = currentEpoch();
        IBeacon beacon = _beacon();
        (bytes32 seed, bool seeded) = beacon.seed(epoch);
        if (!seeded) revert EpochVoid(epoch);
        uint32 beat = beacon.lastBeatOf(member);
        if (beat != epoch) revert NotBeaten(member, beat, epoch);
        Round memory round = Round(_agreements(), member, epoch, seed, _rules().samples());
        for (uint256 i = 0; i < possessions.length; ++i) {
            _prove(round, possessions[i]);
        }
    }

    /// @inheritdoc IProofs
    function reportLoss(bytes32 id, uint64 from, uint64 leaves) external override {
        uint32 since = currentEpoch() + FREEZE_EPOCHS;
        Standing memory standing = _standingOfSender(id, since);
        if (!standing.state.live()) revert NothingDue(id, standing.state, standing.leaves, since);
        if (leaves == 0 || uint256(from) + leaves > standing.leaves) revert BadLoss(id, from, leaves, standing.leaves);
        _requireNoLoss(id);
        uint32 until = since + uint32(_rules().repairEpochs());
        _loss[id] = Loss(from, leaves, since, until, false);
        for (uint32 epoch = since; epoch < until; ++epoch) {
            _impaired[id].set(epoch);
        }
        emit LossReported(id, standing.provider, from, leaves, since, until);
        _clearing().chargeLoss(id, leaves);
    }

    /// @inheritdoc IProofs
    function reportRestored(bytes32 id) external override {
        uint32 until = currentEpoch() + FREEZE_EPOCHS;
        uint32 provider = _standingOfSender(id, until).provider;
        Loss storage loss = _loss[id];
        uint32 end = loss.until;
        if (loss.restored || end <= until) revert NoLoss(id);
        loss.until = until;
        loss.restored = true;
        for (uint32 epoch = until; epoch < end; ++epoch) {
            _impaired[id].unset(epoch);
        }
        emit LossRestored(id, provider, until);
    }

    /// @inheritdoc IProofs
    function lossOf(bytes32 id) external view override returns (Loss memory) {
        return _loss[id];
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

    /// @inheritdoc IProofs
    function impairedWord(bytes32 agreement, uint32 word) external view override returns (uint256) {
        return _impaired[agreement]._data[word];
    }

    /// @inheritdoc IProofs
    function words(bytes32 agreement, uint32 word)
        external
        view
        override
        returns (uint256 provenBits, uint256 impairedBits)
    {
        return (_proven[agreement]._data[word], _impaired[agreement]._data[word]);
    }

    function _prove(Round memory round, Possession calldata possession) private {
        bytes32 id = possession.agreement;
        Standing memory standing = round.agreements.standing(id, round.epoch);
        if (standing.provider != round.member) revert NotProvider(id, standing.provider, msg.sender);
        if (_proven[id].get(round.epoch)) return;
        if (!_isDue(standing, round.epoch)) revert NothingDue(id, standing.state, standing.leaves, round.epoch);
        _verify(round, id, standing, possession.proof);
        _proven[id].set(round.epoch);
        emit Proven(id, round.epoch, round.member);
    }

    function _verify(Round memory round, bytes32 id, Standing memory standing, bytes calldata proof) private view {
        uint256[] memory opened;
        if (proof.length != 0) {
            bytes32 root;
            uint256 leaves;
            (root, leaves, opened) = SumTree.fold(proof, round.samples);
            if (root != standing.root || leaves != standing.leaves) revert WrongRoot(id, standing.root, root, leaves);
        }
        bytes32 own = _ownSeed(round.seed, id, standing.provider);
        uint256 count;
        for (uint256 i = 0; i < round.samples; ++i) {
            (bool asked, uint256 index) = _index(own, i, round.samples, standing.leaves);
            if (!asked) continue;
            if (count < opened.length && opened[count] == index) {
                ++count;
            } else if (!_isLost(id, round.epoch, index)) {
                if (count == opened.length) revert LeafMissing(id, index);
                revert WrongLeaf(id, index, opened[count]);
            }
        }
        if (count != opened.length) revert WrongLeaf(id, standing.leaves, opened[count]);
    }

    function _isLost(bytes32 id, uint32 epoch, uint256 index) private view returns (bool) {
        Loss memory loss = _loss[id];
        return
            epoch >= loss.since && epoch < loss.until && index >= loss.from && index < uint256(loss.from) + loss.leaves;
    }

    function _requireNoLoss(bytes32 id) private view {
        Loss memory loss = _loss[id];
        uint32 epoch = currentEpoch();
        if (loss.until == 0 || (loss.restored && epoch >= loss.until)) return;
        // Never restored: then a proof that left nothing out stands for it.
        if (epoch >= loss.until && _proven[id].get(epoch)) return;
        if (epoch > loss.until && _proven[id].get(epoch - 1)) return;
        revert LossStands(id, loss.until);
    }

    function _standingOfSender(bytes32 id, uint32 epoch) private view returns (Standing memory standing) {
        standing = _agreements().standing(id, epoch);
        if (standing.provider != _sender()) revert NotProvider(id, standing.provider, msg.sender);
    }

    function _challenge(bytes32 id, uint32 epoch) private view returns (ChallengeView memory shown) {
        Standing memory standing = _agreements().standing(id, epoch);
        IBeacon beacon = _beacon();
        shown.agreement = id;
        shown.due = epoch != 0 && beacon.quorate(epoch - 1) && _isDue(standing, epoch);
        shown.proven = _proven[id].get(epoch);
        shown.sequence = standing.sequence;
        shown.root = standing.root;
        shown.leaves = standing.leaves;
        // Nothing can be proven any more in older epochs, whose seeds the beacon need not know.
        if (!shown.due || uint256(epoch) + 2 < currentEpoch()) return shown;
        (shown.seed,) = beacon.seed(epoch);
        bytes32 own = _ownSeed(shown.seed, id, standing.provider);
        (Rules rules,) = directory.rulesAt(epoch);
        uint256 samples = rules.samples();
        uint64[] memory indices = new uint64[](samples);
        uint256 count;
        for (uint256 i = 0; i < samples; ++i) {
            (bool asked, uint256 index) = _index(own, i, samples, standing.leaves);
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
    function _index(bytes32 own, uint256 i, uint256 samples, uint256 leaves)
        private
        pure
        returns (bool asked, uint256 index)
    {
        unchecked {
            // 64 bits of leaves by 8 of samples.
            uint256 from = leaves * i / samples;
            uint256 size = leaves * (i + 1) / samples - from;
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
