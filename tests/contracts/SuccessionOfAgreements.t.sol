// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Agreements} from "peerage/Agreements.sol";
import {AgreementView, Deal} from "peerage/interfaces/IAgreements.sol";
import {IDirectory} from "peerage/interfaces/IDirectory.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Head, History, Recorded, Revisions} from "peerage/libraries/History.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {AgreementState, Amendment} from "peerage/types/Types.sol";
import {Ledgers} from "./Ledgers.sol";
import {TypedData} from "peerage/libraries/TypedData.sol";

/// @notice A version to come: it takes over what its predecessor's views show, and goes on with the same ids.
contract NextAgreements is Agreements {
    using History for Revisions;

    constructor(IDirectory directory) Agreements(directory) {}

    function adopt(Agreements predecessor) external {
        uint256 number = predecessor.count();
        for (uint256 i = 0; i < number; ++i) {
            _adopt(predecessor, predecessor.at(i));
        }
    }

    function _adopt(Agreements predecessor, bytes32 id) private {
        AgreementView memory shown = predecessor.get(id);
        Deal memory deal = shown.terms;
        Agreement storage agreement = _agreement[id];
        Core storage core = agreement.core;
        (core.clientKey, core.providerKey, _bound[id]) = predecessor.keysOf(id);
        core.client = deal.client;
        core.provider = deal.provider;
        core.capacity = deal.capacity;
        core.pricePerGibEpoch = deal.pricePerGibEpoch;
        core.egressPricePerGib = deal.egressPricePerGib;
        core.collateral = deal.collateral;
        core.minRetentionEpochs = deal.minRetentionEpochs;
        core.startEpoch = deal.startEpoch;
        core.endEpoch = deal.endEpoch;
        core.state = shown.state;
        core.amendments = uint16(shown.amendments);
        core.hasClause = deal.qualityClause != 0;
        _clause[id] = deal.qualityClause;
        agreement.removal = predecessor.removalOf(id);
        boundBy[core.clientKey] = predecessor.boundBy(core.clientKey);
        boundBy[core.providerKey] = predecessor.boundBy(core.providerKey);
        _enter(id, core.client, core.provider, core.capacity);
        _adoptRevisions(predecessor, shown);
        if (core.state == AgreementState.ENDED) _release(core.client, core.provider, core.capacity);
    }

    /// @dev What settlements and challenges can still ask for: the epochs that are not settled, and the two to come.
    function _adoptRevisions(Agreements predecessor, AgreementView memory shown) private {
        Revisions storage revisions = _agreement[shown.id].revisions;
        Head memory head;
        uint32 first = shown.settledThrough < 2 ? 2 : shown.settledThrough;
        for (uint32 epoch = first; epoch <= currentEpoch() + 2; ++epoch) {
            (bytes32 root, uint64 leaves, uint64 sequence) = predecessor.frozen(shown.id, epoch);
            if (sequence == head.sequence) continue;
            bool newest = sequence == shown.sequence;
            if (newest) (head.bytesUp, head.bytesDown) = (shown.bytesUp, shown.bytesDown);
            revisions.record(
                head,
                Recorded(newest ? shown.root : root, leaves, sequence, epoch - 2),
                newest ? shown.revision : bytes32(0)
            );
        }
    }
}

/// @notice Agreements is replaced while one with money and data in it goes on, half of it settled.
contract SuccessionOfAgreementsTest is Ledgers {
    Agreements internal old;
    NextAgreements internal next;
    uint64 internal constant MORE = 2 * LEAVES;

    function setUp() public override {
        super.setUp();
        pass(3, true);
        settle(); // through 5; 6 is open
        Amendment memory longer = amendment();
        amendments.amend(longer, signed(CLIENT, longer), signed(PROVIDER, longer));
        pass(2, true);
        revise(id, MORE); // asked for from 10 on
        old = agreements;
        next = new NextAgreements(directory);
        vm.prank(operator);
        directory.set(Kinds.AGREEMENTS, address(next));
    }

    function amendment() internal view returns (Amendment memory changed) {
        Deal memory deal = agreements.get(id).terms;
        changed = Amendment({
            version: 1,
            agreement: id,
            number: agreements.get(id).amendments + 1,
            capacity: deal.capacity,
            pricePerGibEpoch: deal.pricePerGibEpoch,
            egressPricePerGib: deal.egressPricePerGib,
            collateral: deal.collateral,
            minRetentionEpochs: deal.minRetentionEpochs + 1,
            endEpoch: deal.endEpoch + 1,
            expires: agreements.currentEpoch(),
            extension: 0
        });
    }

    function signed(uint32 member, Amendment memory changed) internal view returns (bytes memory) {
        return sign(nodeKey[member], keccak256(abi.encode(TypedData.AMENDMENT, changed)));
    }

    function adopt() internal {
        next.adopt(old);
        agreements = next;
    }

    function test_everythingIsTakenOver() public {
        bytes32 before = keccak256(abi.encode(old.get(id), old.agreementsOf(CLIENT), old.liveOf(PROVIDER)));
        (address ours, address theirs,) = old.keysOf(id);
        uint32 epoch = old.currentEpoch();
        adopt();
        assertEq(keccak256(abi.encode(next.get(id), next.agreementsOf(CLIENT), next.liveOf(PROVIDER))), before);
        assertEq(next.promised(PROVIDER), old.promised(PROVIDER));
        assertEq(next.boundBy(ours), old.boundBy(ours));
        assertEq(next.boundBy(theirs), old.boundBy(theirs));
        for (uint32 e = epoch; e <= epoch + 2; ++e) {
            assertEq(keccak256(abi.encode(next.standing(id, e))), keccak256(abi.encode(old.standing(id, e))));
        }
        assertEq(
            keccak256(abi.encode(next.leafRuns(id, 6, epoch + 3))),
            keccak256(abi.encode(old.leafRuns(id, 6, epoch + 3)))
        );
    }

    function test_theAgreementGoesOn_provenRevisedAmendedPaidAndEnded() public {
        adopt();
        uint256 paid = ledger().paid;
        pass(3, true); // 9: the old data; 10, 11: the new
        closeAndSettle();
        assertEq(ledger().paid, paid + 4 * PAY + 2 * 2 * PAY, "6 to 9 by the old leaves, 10 and 11 by the new");
        Amendment memory changed = amendment();
        amendments.amend(changed, signed(CLIENT, changed), signed(PROVIDER, changed));
        assertEq(next.get(id).amendments, 2);
        revise(id, MORE + 1);
        while (agreements.currentEpoch() < changed.endEpoch) {
            pass(true);
        }
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
        assertEq(next.liveOf(CLIENT) + next.promised(PROVIDER), 0);
        assertConserved();
    }

    function test_theSupersededOneRefusesWrites() public {
        bytes memory refusal = abi.encodeWithSelector(IPeered.Superseded.selector, Kinds.AGREEMENTS, address(next));
        vm.prank(node(CLIENT));
        vm.expectRevert(refusal);
        old.announceRemoval(id, "x", 1);
    }
}
