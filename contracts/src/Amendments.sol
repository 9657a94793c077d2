// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Peered} from "./base/Peered.sol";
import {Signed} from "./base/Signed.sol";
import {AgreementView, Deal, IAgreements, Signers} from "./interfaces/IAgreements.sol";
import {IAmendments} from "./interfaces/IAmendments.sol";
import {LedgerView} from "./interfaces/IClearing.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Pricing} from "./libraries/Pricing.sol";
import {StatusTable} from "./libraries/StatusTable.sol";
import {TypedData} from "./libraries/TypedData.sol";
import {AgreementState, Amendment, MAX_CAPACITY, MemberStatus} from "./types/Types.sol";

/// @notice New terms for agreements in force, and early ends. See IAmendments.
contract Amendments is IAmendments, Signed {
    using StatusTable for MemberStatus;

    constructor(IDirectory directory) Peered(directory) {}

    /// @inheritdoc IAmendments
    function amend(Amendment calldata amendment, bytes calldata clientSignature, bytes calldata providerSignature)
        external
        override
        onlyCurrent(Kinds.AMENDMENTS)
    {
        bytes32 id = amendment.agreement;
        _requireKnown(amendment.version, amendment.extension);
        _clearing().settle(id);
        AgreementView memory shown = _agreements().get(id);
        LedgerView memory ledger = _clearing().ledgerOf(id);
        _check(shown, amendment, ledger.nextEpoch);
        bool promises = _promises(shown.terms, amendment);
        Signers memory by = _boundBy(amendment, ledger);
        bytes32 digest = digestOfAmendment(amendment);
        (by.clientKey, by.clientLimit) = _signer(shown.terms.client, digest, clientSignature, promises);
        (by.providerKey, by.providerLimit) = _signer(shown.terms.provider, digest, providerSignature, promises);
        _agreements().rewrite(amendment, by);
        emit Amended(id, amendment.number, amendment, by.clientKey, by.providerKey, ledger.nextEpoch);
        uint64 more = amendment.collateral - shown.terms.collateral;
        if (promises || more != 0 || amendment.pricePerGibEpoch > shown.terms.pricePerGibEpoch) {
            _clearing().top(id, more);
        }
    }

    /// @inheritdoc IAmendments
    function exit(bytes32 id) external override onlyCurrent(Kinds.AMENDMENTS) {
        _clearing().settle(id);
        AgreementView memory shown = _agreements().get(id);
        Deal memory deal = shown.terms;
        uint32 member = _members().memberOfAccount(msg.sender);
        bool byClient = member == deal.client;
        if (member == 0 || (!byClient && member != deal.provider)) revert NotAParty(id, msg.sender);
        if (shown.state != AgreementState.ACTIVE) revert IAgreements.NotInForce(id, shown.state);
        uint32 notice = uint32(_rules().noticeEpochs());
        if (byClient && deal.minRetentionEpochs > notice) notice = deal.minRetentionEpochs;
        uint32 end = currentEpoch() + notice;
        if (end <= deal.startEpoch) end = deal.startEpoch + 1;
        if (end >= deal.endEpoch) revert ExitTooLate(id, deal.endEpoch, end);
        _agreements().shorten(id, end);
        emit Exited(id, member, byClient, end);
        _clearing().chargeExit(id, byClient);
    }

    /// @inheritdoc IAmendments
    function digestOfAmendment(Amendment calldata amendment) public view override returns (bytes32) {
        return _digest(TypedData.hash(amendment));
    }

    function _check(AgreementView memory shown, Amendment calldata amendment, uint32 nextEpoch) private view {
        bytes32 id = amendment.agreement;
        uint32 epoch = currentEpoch();
        Deal memory deal = shown.terms;
        if (shown.state != AgreementState.ACTIVE) revert IAgreements.NotInForce(id, shown.state);
        if (epoch > amendment.expires) revert AmendmentExpired(id, amendment.expires, epoch);
        if (amendment.number != shown.amendments + 1) revert WrongNumber(id, shown.amendments + 1, amendment.number);
        if (epoch >= deal.endEpoch) revert IAgreements.TermOver(id, deal.endEpoch, epoch);
        if (nextEpoch <= _clearing().lastClosedEpoch()) revert NotSettled(id, nextEpoch);
        if (
            amendment.capacity < deal.capacity || amendment.collateral < deal.collateral
                || amendment.minRetentionEpochs < deal.minRetentionEpochs
        ) revert Lowers(id, deal.capacity, deal.collateral, deal.minRetentionEpochs);
        if (amendment.capacity > MAX_CAPACITY) revert IAgreements.TooLarge(amendment.capacity, MAX_CAPACITY);
        if (amendment.endEpoch >= deal.endEpoch) return;
        uint32 earliest = epoch + amendment.minRetentionEpochs;
        if (earliest <= epoch) earliest = epoch + 1;
        if (earliest <= deal.startEpoch) earliest = deal.startEpoch + 1;
        if (amendment.endEpoch < earliest) revert EndTooSoon(id, earliest, amendment.endEpoch);
    }

    /// @dev Whether the sides promise each other more than before; within the provider's offer, then.
    function _promises(Deal memory deal, Amendment calldata amendment) private view returns (bool) {
        bool grows = amendment.capacity > deal.capacity;
        if (grows) _requireOffered(deal.provider, amendment.capacity - deal.capacity);
        return grows || amendment.endEpoch > deal.endEpoch;
    }

    function _boundBy(Amendment calldata amendment, LedgerView memory ledger) private pure returns (Signers memory by) {
        uint256 epochs = amendment.endEpoch - ledger.nextEpoch;
        by.ahead = Pricing.fullCost(amendment.capacity, amendment.pricePerGibEpoch, epochs) + ledger.deferred;
        by.spent = ledger.paid;
        by.lost = ledger.compensated + ledger.burned;
    }

    /// @dev A provider's agreements in force never promise more than its offer on chain holds.
    function _requireOffered(uint32 provider, uint64 more) private view {
        uint256 offered = _members().offerOf(provider).capacity;
        uint256 taken = _agreements().promised(provider);
        uint256 available = offered > taken ? offered - taken : 0;
        if (more > available) revert IAgreements.OverOffer(provider, more, available);
    }

    /// @dev The key by which a member signed, and its limit. A member that leaves promises nothing new.
    function _signer(uint32 member, bytes32 digest, bytes calldata signature, bool promises)
        private
        view
        returns (address signer, uint256 limit)
    {
        uint32 found;
        MemberStatus status;
        signer = _recover(digest, signature);
        (found, status, limit) = _members().authority(signer);
        if (found != member) revert IAgreements.WrongSigner(member, signer);
        if (promises ? !status.promises() : !status.writes()) revert StatusForbids(member, status);
    }
}
