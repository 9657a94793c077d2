// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Peered} from "./base/Peered.sol";
import {Signed} from "./base/Signed.sol";
import {AgreementView, Bill, IAgreements, Removal, Run, Standing} from "./interfaces/IAgreements.sol";
import {LedgerView} from "./interfaces/IClearing.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IMembers} from "./interfaces/IMembers.sol";
import {History, Recorded} from "./libraries/History.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Pricing} from "./libraries/Pricing.sol";
import {StateTable} from "./libraries/StateTable.sol";
import {TypedData} from "./libraries/TypedData.sol";
import {AgreementState, LEAF_SIZE, Revision, Terms} from "./types/Types.sol";

/// @notice Agreements and the revisions of their data. See IAgreements.
///
/// Only the two sides' signatures, and Clearing's verdicts along the StateTable, change anything here. Whoever carries a
/// signed message to the chain gains nothing by it, so carrying is free to all.
contract Agreements is IAgreements, Signed {
    using History for Recorded[];
    using StateTable for AgreementState;

    struct Agreement {
        Terms terms;
        AgreementState state;
        uint32 openedEpoch;
        address clientKey;
        address providerKey;
        bytes32 revision;
        Recorded[] history;
        Removal removal;
    }

    uint64 private immutable MIN_CAPACITY;

    /// @inheritdoc IAgreements
    mapping(uint32 provider => uint256) public override promised;
    /// @inheritdoc IAgreements
    mapping(uint32 member => uint32) public override liveOf;
    /// @inheritdoc IAgreements
    mapping(address key => uint256) public override boundBy;

    mapping(bytes32 id => Agreement) private _agreement;
    mapping(uint32 member => bytes32[]) private _of;
    bytes32[] private _all;

    constructor(IDirectory directory) Peered(directory) {
        MIN_CAPACITY = uint64(directory.params().minCapacityMib) << 20;
    }

    /// @inheritdoc IAgreements
    function open(Terms calldata terms, bytes calldata clientSignature, bytes calldata providerSignature)
        external
        override
        returns (bytes32 id)
    {
        _checkTerms(terms);
        id = digestOfTerms(terms);
        Agreement storage agreement = _agreement[id];
        if (agreement.state != AgreementState.NONE) revert AlreadyOpened(id);
        address clientKey = _signer(terms.client, id, clientSignature);
        address providerKey = _signer(terms.provider, id, providerSignature);
        _reserve(terms);
        ++liveOf[terms.client];
        ++liveOf[terms.provider];
        _bind(clientKey, _clientBound(terms));
        _bind(providerKey, terms.collateral);

        agreement.terms = terms;
        agreement.openedEpoch = currentEpoch();
        agreement.clientKey = clientKey;
        agreement.providerKey = providerKey;
        _of[terms.client].push(id);
        _of[terms.provider].push(id);
        _all.push(id);
        emit AgreementOpened(id, terms.client, terms.provider, terms, clientKey, providerKey, agreement.openedEpoch);
        _move(id, agreement, AgreementState.ACTIVE);
        _clearing().hold(id, terms);
    }

    /// @inheritdoc IAgreements
    function revise(Revision calldata revision, bytes calldata clientSignature, bytes calldata providerSignature)
        external
        override
    {
        Agreement storage agreement = _agreement[revision.agreement];
        uint32 epoch = currentEpoch();
        _checkRevision(agreement, revision, epoch);
        bytes32 digest = digestOfRevision(revision);
        _signer(agreement.terms.client, digest, clientSignature);
        _signer(agreement.terms.provider, digest, providerSignature);

        uint64 leaves = agreement.history.newest().leaves;
        if (revision.leaves < leaves) _remove(agreement, revision, leaves - revision.leaves, epoch);
        agreement.revision = digest;
        agreement.history.record(Recorded(revision.root, revision.leaves, revision.sequence, epoch));
        emit Revised(
            revision.agreement,
            revision.sequence,
            digest,
            revision.root,
            revision.leaves,
            revision.bytesUp,
            revision.bytesDown,
            epoch
        );
    }

    /// @inheritdoc IAgreements
    function announceRemoval(bytes32 id, bytes32 objects, uint64 leaves) external override {
        Agreement storage agreement = _agreement[id];
        if (agreement.state != AgreementState.ACTIVE) revert NotInForce(id, agreement.state);
        uint32 client = _senderAsClient(id, agreement);
        _requireWriter(client);
        Removal memory pending = agreement.removal;
        if (pending.leaves != 0) revert RemovalPending(id, pending.objects, pending.ready);
        if (objects == 0 || leaves == 0) revert EmptyRemoval(id);
        uint64 recorded = agreement.history.newest().leaves;
        if (leaves > recorded) revert RemovalTooLarge(id, recorded, leaves);
        uint64 ready = uint64(currentEpoch()) + agreement.terms.minRetentionEpochs;
        agreement.removal = Removal(objects, leaves, ready);
        emit RemovalAnnounced(id, client, objects, leaves, ready);
    }

    /// @inheritdoc IAgreements
    function cancelRemoval(bytes32 id) external override {
        Agreement storage agreement = _known(id);
        uint32 client = _senderAsClient(id, agreement);
        Removal memory pending = agreement.removal;
        if (pending.leaves == 0) revert NoRemoval(id);
        delete agreement.removal;
        emit RemovalCancelled(id, client, pending.objects);
    }

    /// @inheritdoc IAgreements
    function transit(bytes32 id, AgreementState to, uint256 spent, uint256 lost)
        external
        override
        onlyContract(Kinds.CLEARING)
    {
        Agreement storage agreement = _agreement[id];
        _move(id, agreement, to);
        if (to.live()) return;
        Terms memory terms = agreement.terms;
        promised[terms.provider] -= terms.capacity;
        --liveOf[terms.client];
        --liveOf[terms.provider];
        // What was spent or lost stays on the key's account for good: a limit caps what a stolen key can cost.
        boundBy[agreement.clientKey] -= _clientBound(terms) - spent;
        boundBy[agreement.providerKey] -= terms.collateral - lost;
    }

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
    function agreementsOf(uint32 member) external view override returns (bytes32[] memory) {
        return _of[member];
    }

    /// @inheritdoc IAgreements
    function count() external view override returns (uint256) {
        return _all.length;
    }

    /// @inheritdoc IAgreements
    function at(uint256 index) external view override returns (bytes32) {
        return _all[index];
    }

    /// @inheritdoc IAgreements
    function frozen(bytes32 id, uint32 epoch)
        external
        view
        override
        returns (bytes32 root, uint64 leaves, uint64 sequence)
    {
        Recorded memory entry = _agreement[id].history.frozenAt(epoch);
        return (entry.root, entry.leaves, entry.sequence);
    }

    /// @inheritdoc IAgreements
    function standing(bytes32 id, uint32 epoch) external view override returns (Standing memory) {
        Agreement storage agreement = _agreement[id];
        Recorded memory entry = agreement.history.frozenAt(epoch);
        return Standing({
            client: agreement.terms.client,
            provider: agreement.terms.provider,
            state: agreement.state,
            startEpoch: agreement.terms.startEpoch,
            endEpoch: agreement.terms.endEpoch,
            sequence: entry.sequence,
            root: entry.root,
            leaves: entry.leaves
        });
    }

    /// @inheritdoc IAgreements
    function termsOf(bytes32 id) external view override returns (Terms memory, AgreementState) {
        Agreement storage agreement = _known(id);
        return (agreement.terms, agreement.state);
    }

    /// @inheritdoc IAgreements
    function leavesOver(bytes32 id, uint32 from, uint32 to) external view override returns (uint64[] memory leaves) {
        if (to <= from) return leaves;
        Recorded[] storage history = _agreement[id].history;
        leaves = new uint64[](to - from);
        // Every entry is read once, however many epochs it covers.
        uint256 next = history.countUntil(from);
        uint64 current = next == 0 ? 0 : history[next - 1].leaves;
        uint256 until = history.countUntil(to - 1);
        for (uint32 epoch = from; epoch < to; ++epoch) {
            while (next < until && history[next].epoch + 2 <= epoch) current = history[next++].leaves;
            leaves[epoch - from] = current;
        }
    }

    /// @inheritdoc IAgreements
    function billOf(bytes32 id) external view override returns (Bill memory bill) {
        Agreement storage agreement = _agreement[id];
        Terms memory terms = agreement.terms;
        bill.client = terms.client;
        bill.provider = terms.provider;
        bill.state = agreement.state;
        bill.capacity = terms.capacity;
        bill.pricePerGibEpoch = terms.pricePerGibEpoch;
        bill.egressPricePerGib = terms.egressPricePerGib;
        bill.collateral = terms.collateral;
        bill.startEpoch = terms.startEpoch > agreement.openedEpoch ? terms.startEpoch : agreement.openedEpoch;
        bill.endEpoch = terms.endEpoch;
    }

    /// @inheritdoc IAgreements
    function leafRuns(bytes32 id, uint32 from, uint32 to) external view override returns (Run[] memory runs) {
        Recorded[] storage history = _agreement[id].history;
        uint256 first = history.countUntil(from);
        uint256 last = history.countUntil(to - 1);
        runs = new Run[](last - first + 1);
        for (uint256 i = first; i <= last; ++i) {
            Run memory run = runs[i - first];
            run.leaves = i == 0 ? 0 : history[i - 1].leaves;
            run.until = i == last ? to : history[i].epoch + 2;
        }
    }

    /// @inheritdoc IAgreements
    function removalOf(bytes32 id) external view override returns (Removal memory) {
        return _agreement[id].removal;
    }

    /// @inheritdoc IAgreements
    function revisionDigest(bytes32 id) external view override returns (bytes32) {
        return _agreement[id].revision;
    }

    /// @inheritdoc IAgreements
    function digestOfTerms(Terms calldata terms) public view override returns (bytes32) {
        return _digest(TypedData.hash(terms));
    }

    /// @inheritdoc IAgreements
    function digestOfRevision(Revision calldata revision) public view override returns (bytes32) {
        return _digest(TypedData.hash(revision));
    }

    function _checkTerms(Terms calldata terms) private view {
        _requireKnown(terms.version, terms.extension);
        // Renewals and quality clauses are for a later version of this contract, which will know what they ask.
        if (terms.renews != 0) revert UnsupportedExtension(terms.renews);
        if (terms.qualityClause != 0) revert UnsupportedExtension(terms.qualityClause);
        if (terms.client == terms.provider) revert SameMember(terms.client);
        uint32 epoch = currentEpoch();
        if (epoch > terms.openBy) revert OpenTooLate(terms.openBy, epoch);
        if (terms.endEpoch <= terms.startEpoch || terms.endEpoch <= epoch) {
            revert BadTerm(terms.startEpoch, terms.endEpoch, epoch);
        }
        if (terms.capacity < MIN_CAPACITY) revert TooSmall(terms.capacity, MIN_CAPACITY);
        if (_clientBound(terms) > type(uint128).max) revert CostOutOfRange(_clientBound(terms));
        _requirePromiser(terms.client);
        _requirePromiser(terms.provider);
        (bytes32 tip,) = _beacon().tipOf(terms.provider);
        if (tip == 0) revert ProviderWithoutTip(terms.provider);
    }

    function _checkRevision(Agreement storage agreement, Revision calldata revision, uint32 epoch) private view {
        bytes32 id = revision.agreement;
        _requireKnown(revision.version, revision.extension);
        if (agreement.state != AgreementState.ACTIVE) revert NotInForce(id, agreement.state);
        if (epoch > revision.expires) revert RevisionExpired(id, revision.expires, epoch);
        if (epoch >= agreement.terms.endEpoch) revert TermOver(id, agreement.terms.endEpoch, epoch);
        Recorded memory newest = agreement.history.newest();
        if (revision.sequence != newest.sequence + 1) {
            revert WrongSequence(id, newest.sequence + 1, revision.sequence);
        }
        if (revision.previous != agreement.revision) {
            revert WrongPredecessor(id, agreement.revision, revision.previous);
        }
        uint256 size = uint256(revision.leaves) * LEAF_SIZE;
        if (size > agreement.terms.capacity) revert OverCapacity(id, size, agreement.terms.capacity);
        _requireWriter(agreement.terms.client);
        _requireWriter(agreement.terms.provider);
    }

    /// @dev A key stolen from a node could sign a revision without the data: only what was announced long enough ago goes.
    function _remove(Agreement storage agreement, Revision calldata revision, uint64 leaves, uint32 epoch) private {
        bytes32 id = revision.agreement;
        Removal memory pending = agreement.removal;
        if (pending.leaves == 0) revert NoRemoval(id);
        if (pending.leaves != leaves) revert WrongRemoval(id, pending.leaves, leaves);
        if (epoch < pending.ready) revert RemovalTooEarly(id, pending.ready, epoch);
        delete agreement.removal;
        emit RemovalRecorded(id, revision.sequence, pending.objects, leaves);
    }

    function _senderAsClient(bytes32 id, Agreement storage agreement) private view returns (uint32 member) {
        member = _sender();
        if (member != agreement.terms.client) revert NotTheClient(id, member);
    }

    /// @dev A provider's agreements in force never promise more than its offer on chain holds.
    function _reserve(Terms calldata terms) private {
        uint256 offered = _members().offerOf(terms.provider).capacity;
        uint256 taken = promised[terms.provider];
        uint256 available = offered > taken ? offered - taken : 0;
        if (terms.capacity > available) revert OverOffer(terms.provider, terms.capacity, available);
        promised[terms.provider] = taken + terms.capacity;
    }

    function _bind(address key, uint256 amount) private {
        uint256 bound = boundBy[key] + amount;
        (,, uint256 limit) = _members().authority(key);
        if (bound > limit) revert OverSpendingLimit(key, bound, limit);
        boundBy[key] = bound;
    }

    function _clientBound(Terms memory terms) private pure returns (uint256) {
        return Pricing.fullCost(terms, terms.endEpoch - terms.startEpoch);
    }

    function _signer(uint32 member, bytes32 digest, bytes calldata signature) private view returns (address signer) {
        signer = _recover(digest, signature);
        IMembers members = _members();
        if (member == 0 || members.memberOf(signer) != member) revert WrongSigner(member, signer);
    }

    function _move(bytes32 id, Agreement storage agreement, AgreementState to) private {
        AgreementState from = agreement.state;
        if (!from.allows(to)) revert NoTransition(id, from, to);
        agreement.state = to;
        emit StateChanged(id, from, to);
    }

    function _known(bytes32 id) private view returns (Agreement storage agreement) {
        agreement = _agreement[id];
        if (agreement.state == AgreementState.NONE) revert UnknownAgreement(id);
    }

    function _view(bytes32 id) private view returns (AgreementView memory shown) {
        Agreement storage agreement = _agreement[id];
        Recorded memory newest = agreement.history.newest();
        LedgerView memory ledger = _clearing().ledgerOf(id);
        shown.id = id;
        shown.terms = agreement.terms;
        shown.state = agreement.state;
        shown.openedEpoch = agreement.openedEpoch;
        shown.sequence = newest.sequence;
        shown.revision = agreement.revision;
        shown.root = newest.root;
        shown.leaves = newest.leaves;
        shown.revisedEpoch = newest.epoch;
        shown.settledThrough = ledger.nextEpoch == 0 ? 0 : ledger.nextEpoch - 1;
        shown.escrow = ledger.escrow;
        shown.collateral = ledger.collateral;
        shown.misses = ledger.misses;
        shown.recentMisses = ledger.recentMisses;
    }
}
