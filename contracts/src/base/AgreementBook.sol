// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementView, Bill, Deal, IAgreements, Removal, Run, Standing} from "../interfaces/IAgreements.sol";
import {LedgerView} from "../interfaces/IClearing.sol";
import {Head, History, Recorded, Revisions} from "../libraries/History.sol";
import {NumberList} from "../libraries/NumberList.sol";
import {TypedData} from "../libraries/TypedData.sol";
import {AgreementState, Revision, Terms} from "../types/Types.sol";
import {Signed} from "./Signed.sol";

/// @notice The part of Agreements that keeps them, and shows them. See IAgreements.
///
/// An agreement's id is the digest of its terms and the opening event has them in full, so only what is needed later is
/// kept, in three words; the id of each is kept once, by its number, and a member's list has numbers, eight a word.
abstract contract AgreementBook is IAgreements, Signed {
    using History for Revisions;
    using NumberList for mapping(uint256 => uint256);

    /// @dev Three words. hasClause: there is a quality clause, in a word of its own.
    struct Core {
        uint32 client;
        uint32 provider;
        uint64 capacity;
        uint64 pricePerGibEpoch;
        uint32 endEpoch;
        AgreementState state;
        uint16 amendments;
        bool hasClause;
        address clientKey;
        uint64 egressPricePerGib;
        uint32 minRetentionEpochs;
        address providerKey;
        uint64 collateral;
        uint32 startEpoch;
    }

    struct Agreement {
        Core core;
        Revisions revisions;
        Removal removal;
    }

    /// @dev A member's agreements: how many there ever were, those in force, and the bytes promised in these as provider.
    struct Load {
        uint128 promised;
        uint32 live;
        uint32 number;
    }

    /// @inheritdoc IAgreements
    uint256 public override count;
    /// @inheritdoc IAgreements
    mapping(uint256 index => bytes32) public override at;
    /// @inheritdoc IAgreements
    mapping(address key => uint256) public override boundBy;

    mapping(bytes32 id => Agreement) internal _agreement;
    mapping(bytes32 id => bytes32) internal _clause;
    mapping(uint32 member => Load) internal _load;
    mapping(uint32 member => mapping(uint256 word => uint256)) private _numbers;

    /// @inheritdoc IAgreements
    function get(bytes32 id) external view override returns (AgreementView memory) {
        _known(id);
        return _view(id);
    }

    /// @inheritdoc IAgreements
    function list(bytes32[] calldata ids) external view override returns (AgreementView[] memory views) {
        views = new AgreementView[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            views[i] = _view(ids[i]);
        }
    }

    /// @inheritdoc IAgreements
    function agreementsOf(uint32 member) external view override returns (bytes32[] memory ids) {
        ids = new bytes32[](_load[member].number);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = at[_numbers[member].at(i)];
        }
    }

    /// @inheritdoc IAgreements
    function promised(uint32 provider) external view override returns (uint256) {
        return _load[provider].promised;
    }

    /// @inheritdoc IAgreements
    function liveOf(uint32 member) external view override returns (uint32) {
        return _load[member].live;
    }

    /// @inheritdoc IAgreements
    function frozen(bytes32 id, uint32 epoch)
        external
        view
        override
        returns (bytes32 root, uint64 leaves, uint64 sequence)
    {
        Recorded memory entry = _agreement[id].revisions.frozenAt(epoch);
        return (entry.root, entry.leaves, entry.sequence);
    }

    /// @inheritdoc IAgreements
    function standing(bytes32 id, uint32 epoch) external view override returns (Standing memory) {
        Core storage core = _agreement[id].core;
        Recorded memory entry = _agreement[id].revisions.frozenAt(epoch);
        return Standing({
            client: core.client,
            provider: core.provider,
            state: core.state,
            startEpoch: core.startEpoch,
            endEpoch: core.endEpoch,
            sequence: entry.sequence,
            root: entry.root,
            leaves: entry.leaves
        });
    }

    /// @inheritdoc IAgreements
    function billOf(bytes32 id) external view override returns (Bill memory bill) {
        Core memory core = _agreement[id].core;
        bill.client = core.client;
        bill.provider = core.provider;
        bill.state = core.state;
        bill.capacity = core.capacity;
        bill.pricePerGibEpoch = core.pricePerGibEpoch;
        bill.egressPricePerGib = core.egressPricePerGib;
        bill.collateral = core.collateral;
        bill.startEpoch = core.startEpoch;
        bill.endEpoch = core.endEpoch;
        bill.bytesDown = _agreement[id].revisions.head.bytesDown;
        if (core.hasClause) bill.qualityClause = _clause[id];
    }

    /// @inheritdoc IAgreements
    function leafRuns(bytes32 id, uint32 from, uint32 to) external view override returns (Run[] memory runs) {
        if (to <= from) return runs;
        Revisions storage revisions = _agreement[id].revisions;
        Head memory head = revisions.head;
        uint256 first = revisions.countUntil(head, from);
        uint256 last = revisions.countUntil(head, to - 1);
        runs = new Run[](last - first + 1);
        Recorded memory entry;
        if (first != 0) entry = revisions.at(head, first - 1);
        for (uint256 i = first; i <= last; ++i) {
            Run memory run = runs[i - first];
            run.leaves = entry.leaves;
            if (i != last) entry = revisions.at(head, i);
            run.until = i == last ? to : entry.epoch + 2;
        }
    }

    /// @inheritdoc IAgreements
    function removalOf(bytes32 id) external view override returns (Removal memory) {
        return _agreement[id].removal;
    }

    /// @inheritdoc IAgreements
    function revisionDigest(bytes32 id) external view override returns (bytes32) {
        return _agreement[id].revisions.digest;
    }

    /// @inheritdoc IAgreements
    function digestOfTerms(Terms calldata terms) public view override returns (bytes32) {
        return _digest(TypedData.hash(terms));
    }

    /// @inheritdoc IAgreements
    function digestOfRevision(Revision calldata revision) public view override returns (bytes32) {
        return _digest(TypedData.hash(revision));
    }

    /// @dev Gives a new agreement its number, and puts it on both sides' lists, in force.
    function _enter(bytes32 id, uint32 client, uint32 provider, uint64 capacity) internal {
        uint256 number = count++;
        at[number] = id;
        _list(client, uint32(number));
        _list(provider, uint32(number));
        _load[provider].promised += capacity;
    }

    /// @dev Takes an agreement that is over out of what binds both sides.
    function _release(uint32 client, uint32 provider, uint64 capacity) internal {
        --_load[client].live;
        --_load[provider].live;
        _load[provider].promised -= capacity;
    }

    function _known(bytes32 id) internal view returns (Agreement storage agreement) {
        agreement = _agreement[id];
        if (agreement.core.state == AgreementState.NONE) revert UnknownAgreement(id);
    }

    function _list(uint32 member, uint32 number) private {
        Load memory load = _load[member];
        _numbers[member].put(load.number++, number);
        ++load.live;
        _load[member] = load;
    }

    function _view(bytes32 id) private view returns (AgreementView memory shown) {
        Core memory core = _agreement[id].core;
        Head memory head = _agreement[id].revisions.head;
        shown.id = id;
        shown.terms = Deal({
            client: core.client,
            provider: core.provider,
            capacity: core.capacity,
            pricePerGibEpoch: core.pricePerGibEpoch,
            egressPricePerGib: core.egressPricePerGib,
            collateral: core.collateral,
            minRetentionEpochs: core.minRetentionEpochs,
            startEpoch: core.startEpoch,
            endEpoch: core.endEpoch,
            qualityClause: _clause[id]
        });
        shown.state = core.state;
        shown.amendments = core.amendments;
        shown.sequence = head.sequence;
        shown.revision = _agreement[id].revisions.digest;
        shown.root = _agreement[id].revisions.newest().root;
        shown.leaves = head.leaves;
        shown.bytesUp = head.bytesUp;
        shown.bytesDown = head.bytesDown;
        shown.revisedEpoch = head.epoch;
        _fillMoney(shown, id);
    }

    function _fillMoney(AgreementView memory shown, bytes32 id) private view {
        LedgerView memory ledger = _clearing().ledgerOf(id);
        shown.settledThrough = ledger.nextEpoch == 0 ? 0 : ledger.nextEpoch - 1;
        shown.escrow = ledger.escrow;
        shown.collateral = ledger.collateral;
        shown.misses = ledger.misses;
        shown.recentMisses = ledger.recentMisses;
    }
}
