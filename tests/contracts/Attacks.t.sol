// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAgreements} from "peerage/interfaces/IAgreements.sol";
import {IBeacon} from "peerage/interfaces/IBeacon.sol";
import {IAccounts} from "peerage/interfaces/IAccounts.sol";
import {IMembers} from "peerage/interfaces/IMembers.sol";
import {IProofs} from "peerage/interfaces/IProofs.sol";
import {SumTree} from "peerage/libraries/SumTree.sol";
import {AgreementState, Enrolment, LEAF_SIZE, Offer, Possession, Revision, Terms} from "peerage/types/Types.sol";
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

    /// @dev The prover keeps two leaves and claims that they stand elsewhere, by shifting counts from one node to another.
    function test_attack_movesALeafByItsCounts() public {
        bytes memory proof = treeOf(id, LEAVES).proof(kept(1, 12));
        // One closed subtree, leaf 0, before leaf 1; then the steps, and what holds leaves 2 and 3.
        proof[8] = 0x02;
        proof[41 + LEAF_SIZE + 8 + 7] = 0x01;
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        send(PROVIDER, Possession(id, proof));
    }

    /// @dev Counts that only together, cut to 64 bits, make up the right number.
    function test_attack_countsThatOverflow() public {
        bytes memory proof = treeOf(id, LEAVES).proof(kept(1, 12));
        for (uint256 i = 1; i < 9; ++i) {
            proof[i] = 0xff;
        }
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        send(PROVIDER, Possession(id, proof));
    }

    /// @dev Both sign more leaves than the root stands for: nothing that the provider has leads to so many.
    function test_attack_billsMoreLeavesThanThereAre() public {
        Revision memory revision = nextRevision(id, 2 * LEAVES);
        revision.root = treeOf(id, LEAVES).root();
        revise(revision);
        for (uint256 epoch = 5; epoch <= 6; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        (,,,, uint64 leaves, uint64[] memory indices) = proofs.challenge(id, 6);
        assertEq(leaves, 2 * LEAVES);
        bytes memory proof = treeOf(id, LEAVES).proof(indices);
        vm.expectRevert(abi.encodeWithSelector(IProofs.WrongRoot.selector, id, revision.root, revision.root, LEAVES));
        send(PROVIDER, Possession(id, proof));
    }

    /// @dev A node's two children, padded to a leaf's length, in place of a leaf.
    function test_attack_passesANodeOffAsALeaf() public {
        SumTrees.Tree memory tree = treeOf(id, LEAVES);
        bytes memory left = SumTrees.closed(32, tree.hashOf(0, 32));
        bytes memory right = SumTrees.closed(8, tree.hashOf(32, 40));
        bytes memory leaf = bytes.concat(left, right, new bytes(LEAF_SIZE - 80));
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        send(PROVIDER, Possession(id, bytes.concat(hex"00", leaf, bytes8(uint64(1)))));
    }

    /// @dev Nodes upon nodes, none of them joined, and steps that go on below the stack: refused, at the sender's cost.
    function test_attack_aProofWithoutEnd() public {
        bytes memory opening = bytes.concat(hex"ff", new bytes(255 * 40 + LEAF_SIZE), bytes8(uint64(1)));
        vm.expectRevert(abi.encodeWithSelector(SumTree.MalformedProof.selector, 2 * opening.length));
        send(PROVIDER, Possession(id, bytes.concat(opening, opening)));
        vm.expectRevert(abi.encodeWithSelector(SumTree.MalformedProof.selector, 2 * opening.length));
        send(PROVIDER, Possession(id, bytes.concat(opening, opening, opening)));
        opening = bytes.concat(hex"00", new bytes(LEAF_SIZE), bytes8(uint64(1) << 63));
        vm.expectRevert(abi.encodeWithSelector(SumTree.MalformedProof.selector, opening.length));
        send(PROVIDER, Possession(id, opening));
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
        vm.expectRevert(abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, CLIENT, free, free + 1));
        clearing.withdraw(free + 1, account(CLIENT)); // the escrow is out of reach
        clearing.withdraw(free, account(CLIENT));
        vm.stopPrank();
        Terms memory terms = termsFor(CLIENT, OTHER);
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[OTHER], terms);
        vm.expectRevert(abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, CLIENT, 0, 8 * CREDITS));
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
        vm.expectRevert(abi.encodeWithSelector(IAccounts.NotAnAccount.selector, node(CLIENT)));
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

    /// @dev Five of a hundred leaves are gone: how often does the provider get through an epoch? Parts of 12 and 13 leaves, and one
    /// leaf lost in five of them: (11/12)^2 (12/13)^3 = 0.661, where 0.95^8 = 0.663; the standard deviation over 4,000 epochs
    /// is 0.0075. Five leaves in a row, all in one part: 7/12.
    function test_attack_dropsAFewPercent_isCaughtAsOftenAsTheTableSays() public view {
        uint256 scattered;
        uint256 inARow;
        for (uint256 epoch = 0; epoch < 4000; ++epoch) {
            bytes32 seed = keccak256(abi.encode("seed", epoch));
            bytes32 own = keccak256(abi.encode(seed, block.chainid, address(proofs), id, PROVIDER));
            bool caught;
            bool caughtToo;
            for (uint256 i = 0; i < 8; ++i) {
                uint256 from = 100 * i / 8;
                uint256 index = from + uint256(keccak256(abi.encode(own, i))) % (100 * (i + 1) / 8 - from);
                if (index % 20 == 3) caught = true;
                if (index < 5) caughtToo = true;
            }
            if (!caught) ++scattered;
            if (!caughtToo) ++inARow;
        }
        assertApproxEqAbs(scattered, 2643, 120);
        assertApproxEqAbs(inARow, 2333, 120);
    }

    function kept(uint64 one, uint64 other) private pure returns (uint64[] memory indices) {
        indices = new uint64[](2);
        (indices[0], indices[1]) = (one, other);
    }
}
