// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementBook} from "./base/AgreementBook.sol";
import {Peered} from "./base/Peered.sol";
import {Bound, IAgreements, Removal, Signers} from "./interfaces/IAgreements.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IMembers} from "./interfaces/IMembers.sol";
import {Head, History, Recorded, Revisions} from "./libraries/History.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Pricing} from "./libraries/Pricing.sol";
import {QualityClause} from "./libraries/QualityClause.sol";
import {StateTable} from "./libraries/StateTable.sol";
import {StatusTable} from "./libraries/StatusTable.sol";
import {AgreementState, Amendment, LEAF_SIZE, MAX_CAPACITY, MemberStatus, Revision, Terms} from "./types/Types.sol";

/// @notice Agreements and the revisions of their data. See IAgreements.
///
/// Only the two sides' signatures, and Clearing's verdicts along the StateTable, change anything here. Whoever carries a
/// signed message to the chain gains nothing by it, so carrying is free to all.
contract Agreements is AgreementBook {
    using History for Revisions;
    using StateTable for AgreementState;
    using StatusTable for MemberStatus;

    mapping(bytes32 id => Bound) internal _bound;

    constructor(IDirectory directory) Peered(directory) {}

    /// @inheritdoc IAgreements
    function open(Terms calldata terms, bytes calldata clientSignature, bytes calldata providerSignature)
        external
        override
        onlyCurrent(Kinds.AGREEMENTS)
        returns (bytes32 id)
    {
        _checkTerms(terms);
        id = digestOfTerms(terms);
        if (_agreement[id].core.state != AgreementState.NONE) revert AlreadyOpened(id);
        Core memory core = _coreOf(terms);
        IMembers members = _members();
        core.clientKey = _bindSigner(members, terms.client, id, clientSignature, _fullCost(core));
        core.providerKey = _bindSigner(members, terms.provider, id, providerSignature, terms.collateral);
        _requireOffered(members, terms.provider, terms.capacity);
        core.hasClause = terms.qualityClause != 0;
        if (core.hasClause) _clause[id] = terms.qualityClause;
        _agreement[id].core = core;
        _enter(id, terms.client, terms.provider, terms.capacity);
        emit AgreementOpened(id, terms.client, terms.provider, terms, core.clientKey, core.providerKey, currentEpoch());
        _clearing().hold(id, terms);
    }

    /// @inheritdoc IAgreements
    function revise(Revision calldata revision, bytes calldata clientSignature, bytes calldata providerSignature)
        external
        override
        onlyCurrent(Kinds.AGREEMENTS)
    {
        Core storage core = _agreement[revision.agreement].core;
        _checkRevision(core, revision);
        bytes32 digest = digestOfRevision(revision);
        IMembers members = _members();
        _writer(members, core.client, digest, clientSignature);
        _writer(members, core.provider, digest, providerSignature);
        _record(revision, digest);
    }

    /// @inheritdoc IAgreements
    function announceRemoval(bytes32 id, bytes32 objects, uint64 leaves)
        external
        override
        onlyCurrent(Kinds.AGREEMENTS)
    {
        Agreement storage agreement = _agreement[id];
        if (agreement.core.state != AgreementState.ACTIVE) revert NotInForce(id, agreement.core.state);
        uint32 client = _senderAsClient(id, agreement);
        _requireWriter(client);
        Removal memory pending = agreement.removal;
        if (pending.leaves != 0) revert RemovalPending(id, pending.objects, pending.ready);
        if (objects == 0 || leaves == 0) revert EmptyRemoval(id);
        uint64 recorded = agreement.revisions.head.leaves;
        if (leaves > recorded) revert RemovalTooLarge(id, recorded, leaves);
        uint64 ready = uint64(currentEpoch()) + agreement.core.minRetentionEpochs;
        agreement.removal = Removal(objects, leaves, ready);
        emit RemovalAnnounced(id, client, objects, leaves, ready);
    }

    /// @inheritdoc IAgreements
    function cancelRemoval(bytes32 id) external override onlyCurrent(Kinds.AGREEMENTS) {
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
        onlyCurrent(Kinds.AGREEMENTS)
    {
        Core memory core = _agreement[id].core;
        AgreementState from = core.state;
        if (!from.allows(to)) revert NoTransition(id, from, to);
        _agreement[id].core.state = to;
        emit StateChanged(id, from, to);
        if (to.live()) return;
        _release(core.client, core.provider, core.capacity);
        _releaseKeys(id, core, spent, lost);
    }

    /// @inheritdoc IAgreements
    function rewrite(Amendment calldata amendment, Signers calldata signers)
        external
        override
        onlyContract(Kinds.AMENDMENTS)
        onlyCurrent(Kinds.AGREEMENTS)
    {
        bytes32 id = amendment.agreement;
        Core memory core = _agreement[id].core;
        _releaseKeys(id, core, signers.spent, signers.lost);
        _load[core.provider].promised += amendment.capacity - core.capacity;
        core.capacity = amendment.capacity;
        core.pricePerGibEpoch = amendment.pricePerGibEpoch;
        core.egressPricePerGib = amendment.egressPricePerGib;
        core.collateral = amendment.collateral;
        core.minRetentionEpochs = amendment.minRetentionEpochs;
        core.endEpoch = amendment.endEpoch;
        core.amendments = uint16(amendment.number);
        core.clientKey = signers.clientKey;
        core.providerKey = signers.providerKey;
        _agreement[id].core = core;
        if (signers.ahead > type(uint80).max) revert CostOutOfRange(signers.ahead);
        _bind(signers.clientKey, signers.ahead, signers.clientLimit);
        _bind(signers.providerKey, amendment.collateral - signers.lost, signers.providerLimit);
        _bound[id] = Bound(uint80(signers.ahead), uint80(signers.spent), uint64(signers.lost));
    }

    /// @inheritdoc IAgreements
    function shorten(bytes32 id, uint32 endEpoch)
        external
        override
        onlyContract(Kinds.AMENDMENTS)
        onlyCurrent(Kinds.AGREEMENTS)
    {
        Core storage core = _agreement[id].core;
        if (_bound[id].client == 0) _bound[id].client = uint80(_fullCost(core));
        core.endEpoch = endEpoch;
    }

    /// @inheritdoc IAgreements
    function keysOf(bytes32 id) external view override returns (address, address, Bound memory) {
        Core storage core = _agreement[id].core;
        return (core.clientKey, core.providerKey, _bound[id]);
    }

    function _checkTerms(Terms calldata terms) private view {
        uint32 epoch = currentEpoch();
        _requireKnown(terms.version, terms.extension);
        // Amendments continue agreements, so nothing renews another.
        if (terms.renews != 0) revert UnsupportedExtension(terms.renews);
        if (!QualityClause.isValid(terms.qualityClause)) revert UnsupportedExtension(terms.qualityClause);
        if (terms.client == terms.provider) revert SameMember(terms.client);
        if (epoch > terms.openBy) revert OpenTooLate(terms.openBy, epoch);
        if (terms.endEpoch <= terms.startEpoch || terms.endEpoch <= epoch) {
            revert BadTerm(terms.startEpoch, terms.endEpoch, epoch);
        }
        uint256 minimum = _rules().minCapacity();
        if (terms.capacity < minimum) revert TooSmall(terms.capacity, uint64(minimum));
        if (terms.capacity > MAX_CAPACITY) revert TooLarge(terms.capacity, MAX_CAPACITY);
    }

    function _checkRevision(Core storage core, Revision calldata revision) private view {
        bytes32 id = revision.agreement;
        uint32 epoch = currentEpoch();
        _requireKnown(revision.version, revision.extension);
        if (core.state != AgreementState.ACTIVE) revert NotInForce(id, core.state);
        if (epoch > revision.expires) revert RevisionExpired(id, revision.expires, epoch);
        if (epoch >= core.endEpoch) revert TermOver(id, core.endEpoch, epoch);
        uint256 size = uint256(revision.leaves) * LEAF_SIZE;
        if (size > core.capacity) revert OverCapacity(id, size, core.capacity);
    }

    function _record(Revision calldata revision, bytes32 digest) private {
        bytes32 id = revision.agreement;
        Agreement storage agreement = _agreement[id];
        Revisions storage revisions = agreement.revisions;
        Head memory head = revisions.head;
        uint32 epoch = currentEpoch();
        if (revision.sequence != head.sequence + 1) revert WrongSequence(id, head.sequence + 1, revision.sequence);
        if (revision.previous != revisions.digest) {
            revert WrongPredecessor(id, revisions.digest, revision.previous);
        }
        if (revision.bytesUp < head.bytesUp || revision.bytesDown < head.bytesDown) {
            revert TrafficShrinks(id, head.bytesUp, head.bytesDown);
        }
        if (revision.leaves < head.leaves) _remove(agreement, revision, head.leaves - revision.leaves, epoch);
        (head.bytesUp, head.bytesDown) = (revision.bytesUp, revision.bytesDown);
        revisions.record(head, Recorded(revision.root, revision.leaves, revision.sequence, epoch), digest);
        _emitRevised(revision, digest, epoch);
    }

    function _emitRevised(Revision calldata revision, bytes32 digest, uint32 epoch) private {
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

    function _coreOf(Terms calldata terms) private view returns (Core memory core) {
        uint32 epoch = currentEpoch();
        core.client = terms.client;
        core.provider = terms.provider;
        core.capacity = terms.capacity;
        core.pricePerGibEpoch = terms.pricePerGibEpoch;
        core.endEpoch = terms.endEpoch;
        core.state = AgreementState.ACTIVE;
        core.egressPricePerGib = terms.egressPricePerGib;
        core.minRetentionEpochs = terms.minRetentionEpochs;
        core.collateral = terms.collateral;
        core.startEpoch = terms.startEpoch > epoch ? terms.startEpoch : epoch;
    }

    /// @dev What the client can owe at most, traffic aside.
    function _fullCost(Core memory core) private pure returns (uint256 cost) {
        cost = Pricing.fullCost(core.capacity, core.pricePerGibEpoch, core.endEpoch - core.startEpoch);
        if (cost > type(uint80).max) revert CostOutOfRange(cost);
    }

    function _senderAsClient(bytes32 id, Agreement storage agreement) private view returns (uint32 member) {
        member = _sender();
        if (member != agreement.core.client) revert NotTheClient(id, member);
    }

    /// @dev A provider's agreements in force never promise more than its offer on chain holds.
    function _requireOffered(IMembers members, uint32 provider, uint64 capacity) private view {
        uint256 offered = members.offerOf(provider).capacity;
        uint256 taken = _load[provider].promised;
        uint256 available = offered > taken ? offered - taken : 0;
        if (capacity > available) revert OverOffer(provider, capacity, available);
    }

    /// @dev The key by which a member makes a new promise, which stays bound by it.
    function _bindSigner(IMembers members, uint32 member, bytes32 digest, bytes calldata signature, uint256 amount)
        private
        returns (address signer)
    {
        MemberStatus status;
        uint256 limit;
        (signer, status, limit) = _signer(members, member, digest, signature);
        if (!status.promises()) revert StatusForbids(member, status);
        _bind(signer, amount, limit);
    }

    function _bind(address key, uint256 amount, uint256 limit) private {
        uint256 bound = boundBy[key] + amount;
        if (bound > limit) revert OverSpendingLimit(key, bound, limit);
        boundBy[key] = bound;
    }

    /// @dev Frees what the keys of an agreement are bound by, and have not spent or lost: that stays on a key's account for
    /// good, because a limit caps what a stolen key can cost.
    function _releaseKeys(bytes32 id, Core memory core, uint256 spent, uint256 lost) private {
        Bound memory bound = _bound[id];
        uint256 byClient = bound.client == 0 ? _fullCost(core) : bound.client;
        _unbind(core.clientKey, byClient, spent > bound.spent ? spent - bound.spent : 0);
        _unbind(core.providerKey, core.collateral - bound.lost, lost > bound.lost ? lost - bound.lost : 0);
    }

    function _unbind(address key, uint256 bound, uint256 gone) private {
        if (bound > gone) boundBy[key] -= bound - gone;
    }

    function _writer(IMembers members, uint32 member, bytes32 digest, bytes calldata signature) private view {
        (, MemberStatus status,) = _signer(members, member, digest, signature);
        if (!status.writes()) revert StatusForbids(member, status);
    }

    function _signer(IMembers members, uint32 member, bytes32 digest, bytes calldata signature)
        private
        view
        returns (address signer, MemberStatus status, uint256 limit)
    {
        uint32 found;
        signer = _recover(digest, signature);
        (found, status, limit) = members.authority(signer);
        if (member == 0 || found != member) revert WrongSigner(member, signer);
    }
}
