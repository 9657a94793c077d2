// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAgreements, Removal, Run} from "peerage/interfaces/IAgreements.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {AgreementState, Enrolment, MemberStatus, Revision, Terms} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

/// @notice Data goes only after an announcement that stood for the minimum retention.
contract RemovalsTest is Network {
    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint32 internal constant OTHER = 3;
    uint32 internal constant RETENTION = 6;
    uint64 internal constant LEAVES = 1024;
    uint64 internal constant GONE = 256;
    /// @dev 1 MiB at 16 credits a GiB and epoch.
    uint256 internal constant PAY = 15_625;
    /// @dev Three quarters of it, rounded up.
    uint256 internal constant PAY_AFTER = 11_719;
    bytes32 internal constant OBJECTS = keccak256("objects");

    bytes32 internal id;

    function setUp() public {
        deploy();
        join(3);
        toEpoch(2);
        beatAll();
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.minRetentionEpochs = RETENTION;
        id = open(terms);
        revise(id, LEAVES);
    }

    function announce(address sender) internal {
        vm.prank(sender);
        agreements.announceRemoval(id, OBJECTS, GONE);
    }

    function cancel(address sender) internal {
        vm.prank(sender);
        agreements.cancelRemoval(id);
    }

    function expectRefusal(Revision memory revision, bytes memory expected) internal {
        bytes memory ours = signRevision(nodeKey[CLIENT], revision);
        bytes memory theirs = signRevision(nodeKey[PROVIDER], revision);
        vm.expectRevert(expected);
        agreements.revise(revision, ours, theirs);
    }

    function expectRefusal(address sender, bytes32 agreement, bytes32 objects, uint64 leaves, bytes memory expected)
        internal
    {
        vm.expectRevert(expected);
        vm.prank(sender);
        agreements.announceRemoval(agreement, objects, leaves);
    }

    function assertPending(bytes32 objects, uint64 leaves, uint64 ready) internal view {
        Removal memory pending = agreements.removalOf(id);
        assertEq(pending.objects, objects);
        assertEq(pending.leaves, leaves);
        assertEq(pending.ready, ready);
    }

    function leavesNow() internal view returns (uint64) {
        return agreements.get(id).leaves;
    }

    // Announcing

    function test_announce_recordsTheRemoval() public {
        assertPending(0, 0, 0);
        vm.expectEmit(address(agreements));
        emit IAgreements.RemovalAnnounced(id, CLIENT, OBJECTS, GONE, 2 + RETENTION);
        announce(node(CLIENT));
        assertPending(OBJECTS, GONE, 2 + RETENTION);
        assertEq(leavesNow(), LEAVES);
    }

    function test_announce_byTheAccountToo() public {
        announce(account(CLIENT));
        assertPending(OBJECTS, GONE, 2 + RETENTION);
    }

    function test_announce_allOfTheData() public {
        vm.prank(node(CLIENT));
        agreements.announceRemoval(id, OBJECTS, LEAVES);
        toEpoch(2 + RETENTION);
        Revision memory revision = nextRevision(id, 1);
        (revision.root, revision.leaves) = (sha256(""), 0);
        revise(revision);
        assertEq(leavesNow(), 0);
    }

    function test_announce_refusesOthers() public {
        bytes memory byProvider = abi.encodeWithSelector(IAgreements.NotTheClient.selector, id, PROVIDER);
        expectRefusal(node(PROVIDER), id, OBJECTS, GONE, byProvider);
        bytes memory byOther = abi.encodeWithSelector(IAgreements.NotTheClient.selector, id, OTHER);
        expectRefusal(account(OTHER), id, OBJECTS, GONE, byOther);
        address stranger = makeAddr("stranger");
        expectRefusal(stranger, id, OBJECTS, GONE, abi.encodeWithSelector(IPeered.NotAMember.selector, stranger));
    }

    function test_announce_refusesWhatIsNoRemoval() public {
        bytes memory empty = abi.encodeWithSelector(IAgreements.EmptyRemoval.selector, id);
        expectRefusal(node(CLIENT), id, 0, GONE, empty);
        expectRefusal(node(CLIENT), id, OBJECTS, 0, empty);
        bytes memory large = abi.encodeWithSelector(IAgreements.RemovalTooLarge.selector, id, LEAVES, LEAVES + 1);
        expectRefusal(node(CLIENT), id, OBJECTS, LEAVES + 1, large);
    }

    function test_announce_refusesASecond() public {
        announce(node(CLIENT));
        bytes memory pending = abi.encodeWithSelector(IAgreements.RemovalPending.selector, id, OBJECTS, 2 + RETENTION);
        expectRefusal(node(CLIENT), id, "more", 1, pending);
        cancel(node(CLIENT));
        announce(node(CLIENT));
    }

    function test_announce_onlyWhileActive() public {
        bytes memory unknown =
            abi.encodeWithSelector(IAgreements.NotInForce.selector, bytes32("no"), AgreementState.NONE);
        expectRefusal(node(CLIENT), "no", OBJECTS, GONE, unknown);
        vm.prank(address(clearing));
        agreements.transit(id, AgreementState.GRACE, 0, 0);
        bytes memory inGrace = abi.encodeWithSelector(IAgreements.NotInForce.selector, id, AgreementState.GRACE);
        expectRefusal(node(CLIENT), id, OBJECTS, GONE, inGrace);
    }

    function test_announce_refusesWhileSuspended() public {
        vm.prank(operator);
        members.suspend(CLIENT);
        bytes memory suspended = abi.encodeWithSelector(IPeered.StatusForbids.selector, CLIENT, MemberStatus.SUSPENDED);
        expectRefusal(node(CLIENT), id, OBJECTS, GONE, suspended);
    }

    /// @dev Retention for good: the announcement must not wrap round to an early epoch.
    function test_announce_theLongestRetentionNeverEnds() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.minRetentionEpochs = type(uint32).max;
        id = open(terms);
        revise(id, LEAVES);
        announce(node(CLIENT));
        assertPending(OBJECTS, GONE, uint64(type(uint32).max) + 2);
    }

    // Cancelling

    function test_cancel_byANodeKeyOrTheAccount() public {
        for (uint256 i = 0; i < 2; ++i) {
            announce(node(CLIENT));
            vm.expectEmit(address(agreements));
            emit IAgreements.RemovalCancelled(id, CLIENT, OBJECTS);
            cancel(i == 0 ? node(CLIENT) : account(CLIENT));
            assertPending(0, 0, 0);
        }
        toEpoch(2 + RETENTION);
        expectRefusal(nextRevision(id, LEAVES - GONE), abi.encodeWithSelector(IAgreements.NoRemoval.selector, id));
    }

    function test_cancel_refusesOthersAndNothing() public {
        vm.expectRevert(abi.encodeWithSelector(IAgreements.UnknownAgreement.selector, bytes32("no")));
        vm.prank(node(CLIENT));
        agreements.cancelRemoval("no");
        vm.expectRevert(abi.encodeWithSelector(IAgreements.NoRemoval.selector, id));
        cancel(node(CLIENT));
        announce(node(CLIENT));
        vm.expectRevert(abi.encodeWithSelector(IAgreements.NotTheClient.selector, id, PROVIDER));
        cancel(node(PROVIDER));
        address stranger = makeAddr("stranger");
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, stranger));
        cancel(stranger);
        assertPending(OBJECTS, GONE, 2 + RETENTION);
    }

    /// @dev The owner's defence must not depend on the consortium's good will or on the escrow.
    function test_cancel_whileSuspendedAndInGrace() public {
        announce(node(CLIENT));
        vm.prank(address(clearing));
        agreements.transit(id, AgreementState.GRACE, 0, 0);
        vm.prank(operator);
        members.suspend(CLIENT);
        cancel(account(CLIENT));
        assertPending(0, 0, 0);
    }

    // Removing

    function test_revise_removesOnceReady() public {
        announce(node(CLIENT));
        toEpoch(2 + RETENTION);
        Revision memory revision = nextRevision(id, LEAVES - GONE);
        vm.expectEmit(address(agreements));
        emit IAgreements.RemovalRecorded(id, 2, OBJECTS, GONE);
        revise(revision);
        assertEq(leavesNow(), LEAVES - GONE);
        assertPending(0, 0, 0);
    }

    function test_revise_refusesABreathTooEarly() public {
        announce(node(CLIENT));
        toEpoch(2 + RETENTION);
        vm.warp(block.timestamp - 1);
        bytes memory early =
            abi.encodeWithSelector(IAgreements.RemovalTooEarly.selector, id, 2 + RETENTION, 1 + RETENTION);
        expectRefusal(nextRevision(id, LEAVES - GONE), early);
        assertPending(OBJECTS, GONE, 2 + RETENTION);
    }

    function test_revise_refusesAnotherNumberOfLeaves() public {
        announce(node(CLIENT));
        toEpoch(2 + RETENTION);
        bytes memory less = abi.encodeWithSelector(IAgreements.WrongRemoval.selector, id, GONE, GONE - 1);
        expectRefusal(nextRevision(id, LEAVES - GONE + 1), less);
        bytes memory more = abi.encodeWithSelector(IAgreements.WrongRemoval.selector, id, GONE, GONE + 1);
        expectRefusal(nextRevision(id, LEAVES - GONE - 1), more);
        bytes memory all = abi.encodeWithSelector(IAgreements.WrongRemoval.selector, id, GONE, LEAVES);
        expectRefusal(nextRevision(id, 0), all);
    }

    function nextRevision(bytes32 agreement, uint64 leaves) internal view override returns (Revision memory revision) {
        revision = super.nextRevision(agreement, leaves == 0 ? 1 : leaves);
        revision.leaves = leaves;
    }

    function test_revise_consumesTheRemovalOnce() public {
        announce(node(CLIENT));
        toEpoch(2 + RETENTION);
        revise(id, LEAVES - GONE);
        bytes memory none = abi.encodeWithSelector(IAgreements.NoRemoval.selector, id);
        expectRefusal(nextRevision(id, LEAVES - 2 * GONE), none);
        announce(node(CLIENT));
        bytes memory early =
            abi.encodeWithSelector(IAgreements.RemovalTooEarly.selector, id, 2 + 2 * RETENTION, 2 + RETENTION);
        expectRefusal(nextRevision(id, LEAVES - 2 * GONE), early);
    }

    /// @dev Backups go on while a removal waits; what they add is not part of it.
    function test_revise_inBetweenLeavesTheRemovalAlone() public {
        announce(node(CLIENT));
        toEpoch(4);
        revise(id, LEAVES + 100);
        revise(id, LEAVES + 100);
        assertPending(OBJECTS, GONE, 2 + RETENTION);
        toEpoch(2 + RETENTION);
        revise(id, LEAVES + 200);
        assertPending(OBJECTS, GONE, 2 + RETENTION);
        bytes memory wrong = abi.encodeWithSelector(IAgreements.WrongRemoval.selector, id, GONE, GONE + 200);
        expectRefusal(nextRevision(id, LEAVES - GONE), wrong);
        revise(id, LEAVES + 200 - GONE);
        assertPending(0, 0, 0);
    }

    function test_revise_needsBothSidesStill() public {
        announce(node(CLIENT));
        toEpoch(2 + RETENTION);
        Revision memory revision = nextRevision(id, LEAVES - GONE);
        bytes memory ours = signRevision(nodeKey[CLIENT], revision);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSigner.selector, PROVIDER, node(CLIENT)));
        agreements.revise(revision, ours, ours);
        assertPending(OBJECTS, GONE, 2 + RETENTION);
    }

    function test_revise_notOnceTheAgreementHasEnded() public {
        announce(node(CLIENT));
        vm.prank(address(clearing));
        agreements.transit(id, AgreementState.FAILED, 0, 0);
        toEpoch(2 + RETENTION);
        bytes memory ended = abi.encodeWithSelector(IAgreements.NotInForce.selector, id, AgreementState.FAILED);
        expectRefusal(nextRevision(id, LEAVES - GONE), ended);
    }

    function test_removalsOfTwoAgreementsAreApart() public {
        announce(node(CLIENT));
        bytes32 first = id;
        id = openBetween(CLIENT, OTHER);
        revise(id, LEAVES);
        assertPending(0, 0, 0);
        toEpoch(2 + RETENTION);
        Revision memory revision = nextRevision(id, LEAVES - GONE);
        bytes memory ours = signRevision(nodeKey[CLIENT], revision);
        bytes memory theirs = signRevision(nodeKey[OTHER], revision);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.NoRemoval.selector, id));
        agreements.revise(revision, ours, theirs);
        id = first;
        revise(id, LEAVES - GONE);
    }

    // What the old data still counts for

    function test_shrunkLeavesAreFrozenTwoEpochsLater() public {
        announce(node(CLIENT));
        uint32 shrunk = 2 + RETENTION;
        toEpoch(shrunk);
        (bytes32 old,,) = agreements.frozen(id, shrunk);
        revise(id, LEAVES - GONE);
        for (uint32 epoch = shrunk; epoch < shrunk + 2; ++epoch) {
            (bytes32 root, uint64 leaves, uint64 sequence) = agreements.frozen(id, epoch);
            assertEq(root, old);
            assertEq(leaves, LEAVES);
            assertEq(sequence, 1);
            (,,, bytes32 asked, uint64 among,) = proofs.challenge(id, epoch);
            assertEq(asked, old);
            assertEq(among, LEAVES);
        }
        (bytes32 rest, uint64 fewer,) = agreements.frozen(id, shrunk + 2);
        assertEq(rest, agreements.get(id).root);
        assertEq(fewer, LEAVES - GONE);
    }

    function test_shrunkLeavesArePaidAsBeforeForTwoEpochs() public {
        announce(node(CLIENT));
        uint32 shrunk = 2 + RETENTION;
        uint256 due = 0;
        for (uint32 epoch = 3; epoch <= shrunk + 5; ++epoch) {
            toEpoch(epoch);
            beatAll();
            if (epoch == shrunk) revise(id, LEAVES - GONE);
            if (epoch >= 4) setProven(id, epoch);
            toSecondHalf();
            clearing.settle(id); // closes the epoch before
            if (epoch >= 5) due += epoch - 1 < shrunk + 2 ? PAY : PAY_AFTER;
            assertEq(clearing.ledgerOf(id).paid, due);
        }
        Run[] memory runs = agreements.leafRuns(id, shrunk - 1, shrunk + 4);
        assertEq(runs.length, 2);
        assertEq(abi.encode(runs[0]), abi.encode(Run(LEAVES, shrunk + 2)));
        assertEq(abi.encode(runs[1]), abi.encode(Run(LEAVES - GONE, shrunk + 4)));
    }

    // Attacks

    /// @dev The thief has the client's node key, and a provider that signs all it is given.
    function test_attack_stolenKeyAnnouncesAndRevisesAtOnce() public {
        expectRefusal(nextRevision(id, 0), abi.encodeWithSelector(IAgreements.NoRemoval.selector, id));
        vm.prank(node(CLIENT));
        agreements.announceRemoval(id, OBJECTS, LEAVES);
        for (uint32 epoch = 2; epoch < 2 + RETENTION; ++epoch) {
            toEpoch(epoch);
            bytes memory early = abi.encodeWithSelector(IAgreements.RemovalTooEarly.selector, id, 2 + RETENTION, epoch);
            expectRefusal(nextRevision(id, 0), early);
        }
    }

    /// @dev Small steps, a new announcement replacing a ready one, cancelling and announcing: none saves a single epoch.
    function test_attack_waitingOnceForManyRemovals() public {
        announce(node(CLIENT));
        toEpoch(2 + RETENTION);
        cancel(node(CLIENT));
        vm.prank(node(CLIENT));
        agreements.announceRemoval(id, OBJECTS, LEAVES);
        bytes memory early =
            abi.encodeWithSelector(IAgreements.RemovalTooEarly.selector, id, 2 + 2 * RETENTION, 2 + RETENTION);
        expectRefusal(nextRevision(id, 0), early);
    }

    /// @dev The defence: the account revokes the stolen key and cancels; the thief can do nothing more.
    function test_attack_stolenKeyIsRevokedAndItsRemovalCancelled() public {
        uint256 stolen = nodeKey[CLIENT];
        vm.prank(vm.addr(stolen));
        agreements.announceRemoval(id, OBJECTS, LEAVES);
        toEpoch(1 + RETENTION);
        vm.startPrank(account(CLIENT));
        members.revoke(vm.addr(stolen));
        agreements.cancelRemoval(id);
        vm.stopPrank();
        bytes memory notAMember = abi.encodeWithSelector(IPeered.NotAMember.selector, vm.addr(stolen));
        expectRefusal(vm.addr(stolen), id, OBJECTS, LEAVES, notAMember);

        // The new node goes on, and an honest removal of it cannot be cancelled by the thief.
        nodeKey[CLIENT] = newKey();
        enrol(CLIENT, nodeKey[CLIENT]);
        announce(node(CLIENT));
        vm.expectRevert(notAMember);
        cancel(vm.addr(stolen));
        toEpoch(10 + RETENTION);
        revise(id, LEAVES - GONE);
        assertEq(leavesNow(), LEAVES - GONE);
    }

    /// @dev Its announcement outlives the key, which alone must not help the thief: it cannot sign the revision any more.
    function test_attack_revokedKeySignsTheRevision() public {
        announce(node(CLIENT));
        vm.prank(account(CLIENT));
        members.revoke(node(CLIENT));
        toEpoch(2 + RETENTION);
        bytes memory wrong = abi.encodeWithSelector(IAgreements.WrongSigner.selector, CLIENT, node(CLIENT));
        expectRefusal(nextRevision(id, LEAVES - GONE), wrong);
    }

    function test_attack_expiredKey() public {
        uint256 brief = newKey();
        Enrolment memory given = enrolment(CLIENT, brief);
        given.expiresAt = uint64(block.timestamp + EPOCH);
        members.enrol(given, "certificate", "host:1", "site", signEnrolment(accountKey[CLIENT], given));
        announce(vm.addr(brief));
        toEpoch(4);
        bytes memory notAMember = abi.encodeWithSelector(IPeered.NotAMember.selector, vm.addr(brief));
        vm.expectRevert(notAMember);
        cancel(vm.addr(brief));
        cancel(node(CLIENT));
        expectRefusal(vm.addr(brief), id, OBJECTS, GONE, notAMember);
    }

    /// @dev Signed while the removal was announced, carried after it was cancelled.
    function test_attack_carriesASignedRevisionAfterTheCancellation() public {
        announce(node(CLIENT));
        Revision memory revision = nextRevision(id, LEAVES - GONE);
        revision.expires = 100;
        cancel(account(CLIENT));
        toEpoch(2 + RETENTION);
        expectRefusal(revision, abi.encodeWithSelector(IAgreements.NoRemoval.selector, id));
    }
}
