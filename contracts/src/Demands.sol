// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {Peered} from "./base/Peered.sol";
import {Standing} from "./interfaces/IAgreements.sol";
import {IBeacon} from "./interfaces/IBeacon.sol";
import {Demand, DemandState, IDemands} from "./interfaces/IDemands.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IMembers} from "./interfaces/IMembers.sol";
import {Loss} from "./interfaces/IProofs.sol";
import {Rules} from "./libraries/RuleSet.sol";
import {StateTable} from "./libraries/StateTable.sol";
import {SumTree} from "./libraries/SumTree.sol";
import {AgreementState} from "./types/Types.sol";

/// @notice Forced publication of named leaves. See IDemands.
contract Demands is IDemands, Peered {
    using EnumerableSet for EnumerableSet.UintSet;
    using StateTable for AgreementState;

    struct Asked {
        uint32 epoch;
        uint32 leaves;
    }

    /// @inheritdoc IDemands
    uint256 public override count;

    mapping(uint256 number => Demand) private _demand;
    mapping(uint32 provider => EnumerableSet.UintSet) private _open;
    mapping(bytes32 agreement => Asked) private _asked;

    constructor(IDirectory directory) Peered(directory) {}

    /// @inheritdoc IDemands
    function demand(bytes32 id, uint64[] calldata indices) external override returns (uint256 number) {
        uint32 epoch = currentEpoch();
        Standing memory standing = _agreements().standing(id, epoch);
        uint32 member = _sender();
        if (member != standing.client) revert NotTheClient(id, member);
        if (!standing.state.live()) revert NotLive(id, standing.state);
        Rules rules = _rules();
        uint32 until = epoch + uint32(rules.demandEpochs());
        if (until >= standing.endEpoch) revert DemandTooLate(id, until, standing.endEpoch);
        _checkIndices(id, indices, standing.leaves, epoch);
        _checkMaintenance(standing.provider, epoch, until);
        _count(id, indices.length, rules.demandCap(), epoch);

        number = ++count;
        uint64 deposit = uint64(indices.length * rules.demandDeposit());
        _demand[number] = Demand({
            agreement: id,
            root: standing.root,
            sequence: standing.sequence,
            leaves: standing.leaves,
            client: member,
            provider: standing.provider,
            epoch: epoch,
            until: until,
            state: DemandState.OPEN,
            deposit: deposit,
            indices: indices
        });
        _open[standing.provider].add(number);
        emit Demanded(number, id, standing.provider, member, standing.root, standing.leaves, indices, until, deposit);
        _clearing().reserve(member, deposit);
    }

    /// @inheritdoc IDemands
    function answer(uint256 number, bytes calldata proof) external override {
        Demand storage asked = _opened(number);
        uint32 member = _sender();
        uint32 epoch = currentEpoch();
        if (member != asked.provider) revert NotTheProvider(number, member);
        if (epoch > asked.until) revert AnswerTooLate(number, asked.until, epoch);
        uint64[] memory indices = asked.indices;
        (bytes32 root, uint256 leaves, uint256[] memory found) = SumTree.fold(proof, indices.length);
        bool fits = root == asked.root && leaves == asked.leaves && found.length == indices.length;
        for (uint256 i = 0; fits && i < indices.length; ++i) {
            fits = found[i] == indices[i];
        }
        if (!fits) revert WrongAnswer(number, root, leaves);
        _end(number, asked, DemandState.ANSWERED);
        emit Answered(number, asked.agreement, proof);
        _clearing().refund(member, asked.deposit);
    }

    /// @inheritdoc IDemands
    function close(uint256 number) external override {
        Demand storage asked = _opened(number);
        uint32 epoch = currentEpoch();
        if (epoch <= asked.until) revert CloseTooEarly(number, asked.until, epoch);
        DemandState state = _wasOpenThroughout(asked) ? DemandState.UNANSWERED : DemandState.VOID;
        _end(number, asked, state);
        emit Closed(number, asked.agreement, state);
        _clearing().refund(asked.client, asked.deposit);
        if (state == DemandState.UNANSWERED) _clearing().penaliseDemand(asked.agreement);
    }

    /// @inheritdoc IDemands
    function get(uint256 number) external view override returns (Demand memory) {
        return _demand[number];
    }

    /// @inheritdoc IDemands
    function openOf(uint32 provider) external view override returns (uint256[] memory) {
        return _open[provider].values();
    }

    function _opened(uint256 number) private view returns (Demand storage asked) {
        asked = _demand[number];
        if (asked.state != DemandState.OPEN) revert NotOpen(number, asked.state);
    }

    function _end(uint256 number, Demand storage asked, DemandState state) private {
        asked.state = state;
        _open[asked.provider].remove(number);
    }

    function _checkIndices(bytes32 id, uint64[] calldata indices, uint64 leaves, uint32 epoch) private view {
        if (indices.length == 0) revert BadIndices(id, 0);
        Loss memory loss = _proofs().lossOf(id);
        for (uint256 i = 0; i < indices.length; ++i) {
            uint64 index = indices[i];
            if (index >= leaves || (i != 0 && index <= indices[i - 1])) revert BadIndices(id, i);
            // From the report on, not only once it is in effect: the provider has said that it cannot answer.
            if (epoch < loss.until && index >= loss.from && index < uint256(loss.from) + loss.leaves) {
                revert LeafReportedLost(id, index);
            }
        }
    }

    /// @dev Only what was declared before: maintenance declared later than the demand excuses nobody.
    function _checkMaintenance(uint32 provider, uint32 from, uint32 until) private view {
        IMembers members = _members();
        for (uint32 epoch = from; epoch <= until; ++epoch) {
            if ((members.maintenanceWord(provider, epoch >> 8) >> (epoch & 0xff)) & 1 == 1) {
                revert InMaintenance(provider, epoch);
            }
        }
    }

    function _count(bytes32 id, uint256 leaves, uint256 cap, uint32 epoch) private {
        Asked storage asked = _asked[id];
        uint256 total = (asked.epoch == epoch ? asked.leaves : 0) + leaves;
        if (total > cap) revert OverCap(id, total, cap);
        (asked.epoch, asked.leaves) = (epoch, uint32(total));
    }

    function _wasOpenThroughout(Demand storage asked) private view returns (bool) {
        IBeacon beacon = _beacon();
        for (uint32 epoch = asked.epoch + 1; epoch <= asked.until; ++epoch) {
            if (!beacon.valid(epoch)) return false;
        }
        return true;
    }
}
