// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAgreements} from "peerage/interfaces/IAgreements.sol";
import {IBeacon} from "peerage/interfaces/IBeacon.sol";
import {IClearing} from "peerage/interfaces/IClearing.sol";
import {IMembers} from "peerage/interfaces/IMembers.sol";
import {IProofs} from "peerage/interfaces/IProofs.sol";
import {SumTree} from "peerage/libraries/SumTree.sol";
import {AgreementState, Enrolment, Offer, Possession, Revision, Sample, Terms} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";
import {SumTrees} from "./SumTrees.sol";

/// @notice Attacks on the contracts, each carried out.
contract AttacksTest is Network {
    using SumTrees for SumTrees.Tree;

    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint32 internal constant OTHER = 3;
    uint64 internal constant LEAVES = 40;

    bytes32 internal id;

    function setUp() public {
        deploy();
        join(4);
        toEpoch(2);
        beatAll();
        id = openBetween(CLIENT, PROVIDER);
        revise(id, LEAVES);
        toEpoch(3);
        beatAll();
        toEpoch(4);
        beatAll();
    }

    // A provider that cheats

    function test_attack_replaysAnOldProof() public {
        Possession memory old = possession(id, 4);
        send(PROVIDER, old);
        nextEpoch();
        beatAll();
        vm.expectPartialRevert(IProofs.WrongLeaf.selector);
        send(PROVIDER, old);
        assertFalse(proofs.proven(id, 5));
    }

    function test_attack_answersLate() public {
        Possession memory answer = possession(id, 4);
        vm.warp(block.timestamp + EPOCH - 1); // the last second is still in time
        uint256 snapshot = vm.snapshotState();
        send(PROVIDER, answer);
        vm.revertToState(snapshot);
        vm.warp(block.timestamp + 1);
        beatAll();
        vm.expectPartialRevert(IProofs.WrongLeaf.selector);
        send(PROVIDER, answer);
        nextEpoch();
        toSecondHalf();
        clearing.settle(id);
        assertFalse(proofs.proven(id, 4));
    }

    /// @dev Two providers keep the same data for one client; the challenges are about different leaves all the same.
    function test_attack_copiesAnotherProvidersProof() public {
        bytes32 twin = openBetween(CLIENT, OTHER);
        Revision memory revision = nextRevision(twin, LEAVES);
        revision.root = treeOf(id, LEAVES).root();
        revise(revision);
        for (uint256 epoch = 5; epoch <= 6; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        Possession memory copied = possession(id, 6);
        vm.expectRevert(abi.encodeWithSelector(IProofs.NotProvider.selector, id, PROVIDER, node(OTHER)));
        send(OTHER, copied);
        copied.agreement = twin;
        vm.expectPartialRevert(IProofs.WrongLeaf.selector);
        send(OTHER, copied);
    }

    function test_attack_provesOverAnOlderSmallerRevision() public {
        Possession memory small = possession(id, 4);
        revise(id, LEAVES + 20);
        for (uint256 epoch = 5; epoch <= 6; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        send(PROVIDER, small);
    }

    /// @dev The prover keeps one leaf and claims that it stands elsewhere, by shifting counts from one sibling to another.
    function test_attack_movesALeafByItsCounts() public {
        (,,,,, uint64[] memory indices) = proofs.challenge(id, 4);
        Possession memory answer = possession(id, 4);
        answer.samples[0] = treeOf(id, LEAVES).sample((indices[0] + 1) % LEAVES);
        uint256 depth = answer.samples[0].siblings.length;
        answer.samples[0].counts[0] -= 1;
        answer.samples[0].counts[depth - 1] += 1;
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        send(PROVIDER, answer);
    }

    /// @dev Counts that only together, cut to 64 bits, make up the right number.
    function test_attack_countsThatOverflow() public {
        Possession memory answer = possession(id, 4);
        answer.samples[0].counts[0] = type(uint64).max;
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        send(PROVIDER, answer);
    }

    /// @dev Both sign more leaves than the root stands for, and the provider waits for a challenge that it can answer.
    function test_attack_billsMoreLeavesThanThereAre() public {
        Revision memory revision = nextRevision(id, 2 * LEAVES);
        revision.root = treeOf(id, LEAVES).root();
        revise(revision);
        nextEpoch();
        beatAll();
        uint64[] memory indices;
        do {
            nextEpoch();
            beatAll();
            (,,,,, indices) = proofs.challenge(id, beacon.currentEpoch());
        } while (indices[0] >= LEAVES || indices[1] >= LEAVES);
        Possession memory answer = Possession(id, new Sample[](2));
        answer.samples[0] = treeOf(id, LEAVES).sample(indices[0]);
        answer.samples[1] = treeOf(id, LEAVES).sample(indices[1]);
        vm.expectRevert(abi.encodeWithSelector(IProofs.WrongRoot.selector, id, 0, revision.root, revision.root, LEAVES));
        send(PROVIDER, answer);
    }

    function test_attack_passesANodeOffAsALeaf() public {
        Possession memory answer = possession(id, 4);
        answer.samples[0].leaf = abi.encodePacked(uint64(1), bytes32("left"), uint64(1), bytes32("right"));
        vm.expectRevert(abi.encodeWithSelector(SumTree.BadLeafSize.selector, 80));
        send(PROVIDER, answer);
    }

    function test_attack_aPathWithoutEnd() public {
        Possession memory answer = possession(id, 4);
        answer.samples[0].siblings = new bytes32[](65);
        answer.samples[0].counts = new uint64[](65);
        vm.expectRevert(abi.encodeWithSelector(SumTree.BadPath.selector, 65, 65));
        send(PROVIDER, answer);
    }

    function test_attack_promisesMoreThanItOffers() public {
        vm.prank(node(PROVIDER));
        members.publishOffer(Offer(64 * MIB, 0, 0, 0, 0, 0, 0)); // all of it promised already
        Terms memory terms = termsFor(OTHER, PROVIDER);
        bytes memory ours = signTerms(nodeKey[OTHER], terms);
        bytes memory theirs = signTerms(nodeKey[PROVIDER], terms);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.OverOffer.selector, PROVIDER, 64 * MIB, 0));
        agreements.open(terms, ours, theirs);
    }

    /// @dev One that lost everything and waits for void epochs earns nothing by them.
    function test_attack_livesOffVoidEpochs() public {
        for (uint256 epoch = 5; epoch <= 20; ++epoch) {
            toEpoch(epoch);
            if (epoch % 4 != 0) beatAll();
        }
        toSecondHalf();
        clearing.settle(id);
        assertEq(clearing.ledgerOf(id).paid, 0);
        assertGt(clearing.ledgerOf(id).misses, 0);
    }

    /// @dev A cheat commits to new onions all the time, hoping that its silence is excused.
    function test_attack_commitsAnewToEscapeMisses() public {
        for (uint256 epoch = 5; epoch <= 9; ++epoch) {
            toEpoch(epoch);
            beatAllBut(PROVIDER);
            commit(PROVIDER);
        }
        toSecondHalf();
        clearing.settle(id);
        assertEq(clearing.ledgerOf(id).misses, 5, "4 to 8");
    }

    // A client that cheats

    function test_attack_signsTwoRevisionsWithOneNumber() public {
        Revision memory first = nextRevision(id, LEAVES + 1);
        Revision memory second = nextRevision(id, LEAVES + 2);
        bytes memory ours = signRevision(nodeKey[CLIENT], second);
        bytes memory theirs = signRevision(nodeKey[PROVIDER], second);
        revise(first);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSequence.selector, id, 3, 2));
        agreements.revise(second, ours, theirs);
        assertEq(agreements.get(id).leaves, LEAVES + 1);
    }

    function test_attack_holdsAHalfSignedRevisionAsAnOption() public {
        Revision memory held = nextRevision(id, LEAVES + 1);
        bytes memory ours = signRevision(nodeKey[CLIENT], held);
        bytes memory theirs = signRevision(nodeKey[PROVIDER], held);
        toEpoch(held.expires + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAgreements.RevisionExpired.selector, id, held.expires, held.expires + 1)
        );
        agreements.revise(held, ours, theirs);
        // Its number is free again, and what was held is void for good.
        revise(id, LEAVES + 5);
        assertEq(agreements.get(id).sequence, 2);
    }

    function test_attack_recordsARevisionThatWasOvertaken() public {
        Revision memory first = nextRevision(id, LEAVES + 1);
        Revision memory after_ = nextRevision(id, LEAVES + 2);
        after_.sequence = first.sequence + 1;
        after_.previous = agreements.digestOfRevision(first);
        bytes memory ours = signRevision(nodeKey[CLIENT], after_);
        bytes memory theirs = signRevision(nodeKey[PROVIDER], after_);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSequence.selector, id, 2, 3));
        agreements.revise(after_, ours, theirs);
        revise(id, LEAVES + 3); // another second revision: `after_` has lost its predecessor
        vm.expectPartialRevert(IAgreements.WrongPredecessor.selector);
        agreements.revise(after_, ours, theirs);
    }

    function test_attack_refusesToCosign_theProviderIsPaidAllTheSame() public {
        uint256 before = clearing.balanceOf(PROVIDER);
        for (uint256 epoch = 5; epoch <= 10; ++epoch) {
            prove(id);
            toEpoch(epoch);
            beatAll();
        }
        toSecondHalf();
        clearing.settle(id);
        assertEq(clearing.ledgerOf(id).misses, 0);
        assertGt(clearing.balanceOf(PROVIDER), before);
    }

    function test_attack_spendsCreditsTwice() public {
        uint256 free = clearing.balanceOf(CLIENT);
        vm.startPrank(account(CLIENT));
        vm.expectRevert(abi.encodeWithSelector(IClearing.InsufficientBalance.selector, CLIENT, free, free + 1));
        clearing.withdraw(free + 1, account(CLIENT)); // the escrow is out of reach
        clearing.withdraw(free, account(CLIENT));
        vm.stopPrank();
        Terms memory terms = termsFor(CLIENT, OTHER);
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[OTHER], terms);
        vm.expectRevert(abi.encodeWithSelector(IClearing.InsufficientBalance.selector, CLIENT, 0, 8 * CREDITS));
        agreements.open(terms, ours, theirs);
    }

    function test_attack_floodsWithTinyAgreements() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.capacity = MIB - 1;
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[PROVIDER], terms);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.TooSmall.selector, MIB - 1, MIB));
        agreements.open(terms, ours, theirs);
    }

    /// @dev Whatever makes a provider fail, its client never receives more than re-replication costs.
    function test_attack_harmsAProviderForItsCollateral() public {
        uint256 before = clearing.balanceOf(CLIENT) + clearing.escrowOf(id);
        for (uint256 epoch = 5; epoch <= 12; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        toSecondHalf();
        clearing.settle(id);
        assertEq(uint8(stateOf(id)), uint8(AgreementState.FAILED));
        uint256 pay = 611; // 40 KiB at 16 credits a GiB, rounded up
        uint256 egress = 1;
        assertEq(clearing.balanceOf(CLIENT), before + 16 * pay + egress);
    }

    function test_attack_reopensTermsThatEnded() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        (terms.endEpoch, terms.openBy) = (terms.startEpoch + 1, 100);
        bytes32 short = open(terms);
        toEpoch(6);
        beatAll();
        toSecondHalf();
        clearing.settle(short);
        assertEq(uint8(stateOf(short)), uint8(AgreementState.ENDED));
        terms.endEpoch = 50;
        bytes32 other = open(terms); // other terms are another agreement
        assertTrue(other != short);
        terms.endEpoch = terms.startEpoch + 1;
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[PROVIDER], terms);
        vm.expectPartialRevert(IAgreements.BadTerm.selector);
        agreements.open(terms, ours, theirs);
    }

    // An outsider, or a stolen node key

    function test_attack_replaysAnEnrolmentAfterItsRevocation() public {
        uint256 key = newKey();
        Enrolment memory given = enrolment(CLIENT, key);
        bytes memory signature = signEnrolment(accountKey[CLIENT], given);
        members.enrol(given, "certificate", "host:1", "site", signature);
        vm.prank(account(CLIENT));
        members.revoke(vm.addr(key));
        vm.expectRevert(abi.encodeWithSelector(IMembers.AddressTaken.selector, vm.addr(key), CLIENT));
        members.enrol(given, "certificate", "host:1", "site", signature);
    }

    function test_attack_aStolenNodeKeyMovesNoCreditsAndEnrolsNoKeys() public {
        vm.startPrank(node(CLIENT));
        vm.expectRevert(abi.encodeWithSelector(IClearing.NotAnAccount.selector, node(CLIENT)));
        clearing.withdraw(1, node(CLIENT));
        vm.expectRevert(abi.encodeWithSelector(IMembers.NotTheAccount.selector, CLIENT, node(CLIENT)));
        members.revoke(node(CLIENT));
        vm.stopPrank();
        Enrolment memory given = enrolment(CLIENT, newKey());
        bytes memory signature = signEnrolment(nodeKey[CLIENT], given);
        vm.expectPartialRevert(IMembers.BadSignature.selector);
        members.enrol(given, "certificate", "host:1", "site", signature);
    }

    function test_attack_aRevokedKeySpeaksForNobody() public {
        vm.prank(account(CLIENT));
        members.revoke(node(CLIENT));
        nextEpoch();
        vm.startPrank(node(CLIENT));
        vm.expectPartialRevert(bytes4(keccak256("NotAMember(address)")));
        beacon.commit("another onion");
        vm.expectPartialRevert(bytes4(keccak256("NotAMember(address)")));
        anchors.anchor(0, 1, "head");
        vm.stopPrank();
    }

    function test_attack_replaysSignaturesOnAnotherChain() public {
        Terms memory terms = termsFor(CLIENT, OTHER);
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[OTHER], terms);
        vm.chainId(block.chainid + 1);
        vm.expectPartialRevert(IAgreements.WrongSigner.selector);
        agreements.open(terms, ours, theirs);
    }

    function test_attack_malleatesASignature() public {
        Terms memory terms = termsFor(CLIENT, OTHER);
        bytes memory theirs = signTerms(nodeKey[OTHER], terms);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(nodeKey[CLIENT], agreements.digestOfTerms(terms));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes memory twisted = abi.encodePacked(r, order - uint256(s), v == 27 ? uint8(28) : uint8(27));
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSigner.selector, CLIENT, address(0)));
        agreements.open(terms, twisted, theirs);
    }

    function test_attack_repeatsALink() public {
        bytes20 revealed = links[CLIENT][nextLink[CLIENT]];
        nextEpoch();
        vm.expectPartialRevert(IBeacon.WrongLink.selector);
        beacon.beat(CLIENT, revealed);
    }

    function test_attack_copiesABeatFromAPendingTransaction() public {
        nextEpoch();
        uint256 snapshot = vm.snapshotState();
        beatAll();
        (bytes32 expected,) = beacon.seed(beacon.currentEpoch() + 1);
        vm.revertToState(snapshot);
        // The thief is faster: the same link for the same member is the same beat; for itself it is none.
        bytes20 copied = links[CLIENT][nextLink[CLIENT] - 1];
        vm.startPrank(node(OTHER));
        vm.expectPartialRevert(IBeacon.WrongLink.selector);
        beacon.beat(OTHER, copied);
        beacon.beat(CLIENT, copied);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.AlreadyBeat.selector, beacon.currentEpoch(), CLIENT));
        beacon.beat(CLIENT, copied);
        vm.stopPrank();
        --nextLink[CLIENT];
        for (uint32 member = 1; member <= members.count(); ++member) {
            if (member != CLIENT) beat(member);
        }
        (bytes32 seed, bool valid) = beacon.seed(beacon.currentEpoch() + 1);
        assertTrue(valid);
        assertEq(seed, expected);
    }

    function test_attack_beatsWithAStolenOnion_untilANewCommitment() public {
        vm.prank(account(CLIENT));
        members.revoke(node(CLIENT));
        bytes20 stolen = links[CLIENT][nextLink[CLIENT] - 2];
        vm.prank(account(CLIENT));
        beacon.commit("another onion");
        nextEpoch();
        beat(CLIENT); // so far the thief, or whoever else has the onion, is the member's sign of life
        nextEpoch();
        vm.expectPartialRevert(IBeacon.WrongLink.selector);
        beacon.beat(CLIENT, stolen);
    }

    // A consortium that colludes

    function test_attack_suspension_neverStopsProofsNorPay() public {
        vm.prank(operator);
        members.suspend(PROVIDER);
        prove(id);
        nextEpoch();
        beatAll();
        toSecondHalf();
        clearing.settle(id);
        assertGt(clearing.ledgerOf(id).paid, 0);
        assertEq(clearing.ledgerOf(id).misses, 0);
    }

    /// @dev Five of a hundred leaves are gone: how long until the provider is caught? With s samples an epoch passes with
    /// probability 0.95^s; over many epochs the share of epochs passed comes near it.
    function test_attack_dropsAFewPercent_isCaughtAsOftenAsTheTableSays() public view {
        uint256 passed;
        for (uint256 epoch = 0; epoch < 4000; ++epoch) {
            bool caught;
            for (uint256 i = 0; i < 8; ++i) {
                bytes32 drawn = keccak256(
                    abi.encode(keccak256(abi.encode("seed", epoch)), block.chainid, address(proofs), id, PROVIDER, i)
                );
                if (uint256(drawn) % 100 < 5) caught = true;
            }
            if (!caught) ++passed;
        }
        // 0.95^8 = 0.6634; the standard deviation over 4,000 epochs is 0.0075.
        assertApproxEqAbs(passed, 2654, 120);
    }
}
