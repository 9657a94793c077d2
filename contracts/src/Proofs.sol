// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Peered} from "./base/Peered.sol";
import {Standing} from "./interfaces/IAgreements.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {ChallengeView, IProofs} from "./interfaces/IProofs.sol";
import {StateTable} from "./libraries/StateTable.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {AgreementState, Possession, Sample} from "./types/Types.sol";

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
        (bytes32 seed, bool seeded) = _beacon().seed(epoch);
        if (!seeded) revert EpochVoid(epoch);
        for (uint256 i = 0; i < possessions.length; ++i) {
            _prove(possessions[i], member, epoch, seed);
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

    function _prove(Possession calldata possession, uint32 member, uint32 epoch, bytes32 seed) private {
        bytes32 id = possession.agreement;
        Standing memory standing = _agreements().standing(id, epoch);
        if (standing.provider != member) revert NotProvider(id, standing.provider, msg.sender);
        if (_proven[id].get(epoch)) return;
        if (!_isDue(standing, epoch)) revert NothingDue(id, standing.state, standing.leaves, epoch);
        if (possession.samples.length != SAMPLES) revert WrongSampleCount(id, possession.samples.length, SAMPLES);
        for (uint256 i = 0; i < SAMPLES; ++i) {
            _verify(id, standing, seed, i, possession.samples[i]);
        }
        _proven[id].set(epoch);
        emit Proven(id, epoch, member);
    }

    function _verify(bytes32 id, Standing memory standing, bytes32 seed, uint256 i, Sample calldata sample)
        private
        view
    {
        (bytes32 root, uint256 leaves, uint256 index) = SumTree.fold(sample);
        if (root != standing.root || leaves != standing.leaves) {
            revert WrongRoot(id, i, standing.root, root, leaves);
        }
        uint256 expected = _index(seed, id, standing.provider, i, standing.leaves);
        if (index != expected) revert WrongLeaf(id, i, expected, index);
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
        shown.indices = new uint64[](SAMPLES);
        for (uint256 i = 0; i < SAMPLES; ++i) {
            shown.indices[i] = uint64(_index(shown.seed, id, standing.provider, i, standing.leaves));
        }
    }

    function _isDue(Standing memory standing, uint32 epoch) private pure returns (bool) {
        return
            standing.leaves != 0 && standing.state.live() && epoch >= standing.startEpoch && epoch < standing.endEpoch;
    }

    function _index(bytes32 seed, bytes32 id, uint32 provider, uint256 i, uint64 leaves)
        private
        view
        returns (uint256)
    {
        return uint256(keccak256(abi.encode(seed, block.chainid, address(this), id, provider, i))) % leaves;
    }
}
