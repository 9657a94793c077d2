// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Agreements} from "peerage/Agreements.sol";
import {AgreementView, Deal, IAgreements, Run, Standing} from "peerage/interfaces/IAgreements.sol";
import {IAccounts} from "peerage/interfaces/IAccounts.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {StateTable} from "peerage/libraries/StateTable.sol";
import {AgreementState, Enrolment, MemberStatus, Offer, Revision, Terms} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";
import {SumTrees} from "./SumTrees.sol";

contract AgreementsTest is Network {
    using SumTrees for SumTrees.Tree;

    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;

    function setUp() public {
        deploy();
        join(3);
        toEpoch(2);
    }

    function expectRefusal(Terms memory terms, bytes memory expected) internal {
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[PROVIDER], terms);
        vm.expectRevert(expected);
        agreements.open(terms, ours, theirs);
    }

    function expectRefusal(Revision memory revision, bytes memory expected) internal {
        bytes memory ours = signRevision(nodeKey[CLIENT], revision);
        bytes memory theirs = signRevision(nodeKey[PROVIDER], revision);
        vm.expectRevert(expected);
        agreements.revise(revision, ours, theirs);
    }

    // Opening

    function test_open_recordsTheTerms() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        bytes32 id = agreements.digestOfTerms(terms);
        vm.expectEmit(address(agreements));
        emit IAgreements.AgreementOpened(id, CLIENT, PROVIDER, terms, node(CLIENT), node(PROVIDER), 2);
        assertEq(open(terms), id);
        AgreementView memory shown = agreements.get(id);
        Deal memory deal = Deal(
            CLIENT, PROVIDER, 64 * MIB, 16_000_000, 1000, uint64(10 * CREDITS), terms.minRetentionEpochs, 2, 42, 0
        );
        assertEq(abi.encode(shown.terms), abi.encode(deal));
        assertEq(uint8(shown.state), uint8(AgreementState.ACTIVE));
        assertEq(shown.sequence, 0);
        assertEq(shown.revision, 0);
        assertEq(shown.settledThrough, 1);
        assertEq(shown.escrow, clearing.escrowOf(id));
        assertEq(shown.collateral, terms.collateral);
        assertEq(agreements.count(), 1);
        assertEq(agreements.at(0), id);
        assertEq(agreements.agreementsOf(CLIENT)[0], id);
        assertEq(agreements.agreementsOf(PROVIDER)[0], id);
        assertEq(agreements.promised(PROVIDER), terms.capacity);
    }

    function test_open_isCarriedByAnyoneAndSignedByAccountsToo() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        bytes memory ours = signTerms(accountKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[PROVIDER], terms);
        vm.prank(makeAddr("carrier"));
        agreements.open(terms, ours, theirs);
    }

    function test_open_onlyOnce() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        bytes32 id = open(terms);
        expectRefusal(terms, abi.encodeWithSelector(IAgreements.AlreadyOpened.selector, id));
    }

    function test_open_refusesWrongSigners() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[PROVIDER], terms);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSigner.selector, PROVIDER, node(CLIENT)));
        agreements.open(terms, ours, ours);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSigner.selector, CLIENT, node(PROVIDER)));
        agreements.open(terms, theirs, theirs);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSigner.selector, CLIENT, address(0)));
        agreements.open(terms, "", theirs);
    }

    function test_open_refusesARevokedKey() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        vm.prank(account(CLIENT));
        members.revoke(node(CLIENT));
        expectRefusal(terms, abi.encodeWithSelector(IAgreements.WrongSigner.selector, CLIENT, node(CLIENT)));
    }

    function test_open_refusesBadTerms() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.version = 9;
        expectRefusal(terms, abi.encodeWithSelector(IPeered.UnsupportedVersion.selector, 9));
        terms = termsFor(CLIENT, PROVIDER);
        terms.extension = "x";
        expectRefusal(terms, abi.encodeWithSelector(IPeered.UnsupportedExtension.selector, bytes32("x")));
        terms = termsFor(CLIENT, PROVIDER);
        terms.qualityClause = "x";
        expectRefusal(terms, abi.encodeWithSelector(IPeered.UnsupportedExtension.selector, bytes32("x")));
        terms = termsFor(CLIENT, PROVIDER);
        terms.renews = "x";
        expectRefusal(terms, abi.encodeWithSelector(IPeered.UnsupportedExtension.selector, bytes32("x")));
        terms = termsFor(CLIENT, CLIENT);
        expectRefusal(terms, abi.encodeWithSelector(IAgreements.SameMember.selector, CLIENT));
        terms = termsFor(CLIENT, PROVIDER);
        terms.openBy = 1;
        expectRefusal(terms, abi.encodeWithSelector(IAgreements.OpenTooLate.selector, 1, 2));
        terms = termsFor(CLIENT, PROVIDER);
        terms.endEpoch = terms.startEpoch;
        expectRefusal(terms, abi.encodeWithSelector(IAgreements.BadTerm.selector, 2, 2, 2));
        terms = termsFor(CLIENT, PROVIDER);
        (terms.startEpoch, terms.endEpoch) = (0, 2);
        expectRefusal(terms, abi.encodeWithSelector(IAgreements.BadTerm.selector, 0, 2, 2));
        terms = termsFor(CLIENT, PROVIDER);
        terms.capacity = 1 << 50;
        expectRefusal(terms, abi.encodeWithSelector(IAgreements.TooLarge.selector, 1 << 50, (1 << 50) - 1));
        (terms.capacity, terms.pricePerGibEpoch) = ((1 << 50) - 1, type(uint64).max);
        terms.endEpoch = type(uint32).max;
        expectPartialRefusal(terms, IAgreements.CostOutOfRange.selector);
    }

    function expectPartialRefusal(Terms memory terms, bytes4 selector) internal {
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[PROVIDER], terms);
        vm.expectPartialRevert(selector);
        agreements.open(terms, ours, theirs);
    }

    function test_open_refusesSuspendedMembers() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        for (uint32 member = 1; member <= 2; ++member) {
            vm.prank(operator);
            members.suspend(member);
            expectRefusal(terms, abi.encodeWithSelector(IPeered.StatusForbids.selector, member, MemberStatus.SUSPENDED));
            vm.prank(operator);
            members.reinstate(member);
        }
    }

    function test_open_refusesWithoutTheMoney() public {
        vm.startPrank(account(CLIENT));
        clearing.withdraw(START_BALANCE, account(CLIENT));
        vm.stopPrank();
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        expectRefusal(terms, abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, CLIENT, 0, 8 * CREDITS));
        deposit(CLIENT, 8 * CREDITS);
        terms.collateral = uint64(START_BALANCE + 1);
        expectRefusal(
            terms,
            abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, PROVIDER, START_BALANCE, START_BALANCE + 1)
        );
    }

    function test_open_aShortTermNeedsLessEscrow() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.endEpoch = terms.startEpoch + 3;
        bytes32 id = open(terms);
        assertEq(clearing.escrowOf(id), 3 * CREDITS);
    }

    function test_open_spendingLimitCountsWhatIsBound() public {
        uint256 limited = newKey();
        Enrolment memory given = enrolment(CLIENT, limited);
        given.spendingLimit = uint64(60 * CREDITS);
        members.enrol(given, "certificate", "host:1", "site", signEnrolment(accountKey[CLIENT], given));
        nodeKey[CLIENT] = limited;
        openBetween(CLIENT, PROVIDER); // 40 epochs at one credit
        assertEq(agreements.boundBy(vm.addr(limited)), 40 * CREDITS);
        expectRefusal(
            termsFor(CLIENT, PROVIDER),
            abi.encodeWithSelector(IAgreements.OverSpendingLimit.selector, vm.addr(limited), 80 * CREDITS, 60 * CREDITS)
        );
    }

    // Revisions

    function test_revise_recordsTheRevision() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        Revision memory revision = nextRevision(id, 10);
        bytes32 digest = agreements.digestOfRevision(revision);
        vm.expectEmit(address(agreements));
        emit IAgreements.Revised(id, 1, digest, revision.root, 10, 0, 0, 2);
        revise(revision);
        AgreementView memory shown = agreements.get(id);
        assertEq(shown.sequence, 1);
        assertEq(shown.revision, digest);
        assertEq(shown.root, revision.root);
        assertEq(shown.leaves, 10);
        assertEq(shown.revisedEpoch, 2);
        assertEq(agreements.revisionDigest(id), digest);
    }

    function test_revise_refusesBadRevisions() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        revise(id, 10);
        bytes32 newest = agreements.revisionDigest(id);

        Revision memory revision = nextRevision(id, 10);
        revision.version = 2;
        expectRefusal(revision, abi.encodeWithSelector(IPeered.UnsupportedVersion.selector, 2));
        revision = nextRevision(id, 10);
        revision.extension = "x";
        expectRefusal(revision, abi.encodeWithSelector(IPeered.UnsupportedExtension.selector, bytes32("x")));
        revision = nextRevision(id, 10);
        revision.sequence = 3;
        expectRefusal(revision, abi.encodeWithSelector(IAgreements.WrongSequence.selector, id, 2, 3));
        revision = nextRevision(id, 10);
        revision.previous = "x";
        expectRefusal(revision, abi.encodeWithSelector(IAgreements.WrongPredecessor.selector, id, newest, bytes32("x")));
        revision = nextRevision(id, 9);
        expectRefusal(revision, abi.encodeWithSelector(IAgreements.NoRemoval.selector, id));
        revision = nextRevision(id, 65_537);
        expectRefusal(revision, abi.encodeWithSelector(IAgreements.OverCapacity.selector, id, 65_537 * 1024, 64 * MIB));
        revision = nextRevision("unknown", 1);
        expectRefusal(
            revision, abi.encodeWithSelector(IAgreements.NotInForce.selector, bytes32("unknown"), AgreementState.NONE)
        );
    }

    function nextRevision(bytes32 id, uint64 leaves) internal view override returns (Revision memory revision) {
        if (id == "unknown") {
            revision.version = 1;
            revision.agreement = id;
            return revision;
        }
        return super.nextRevision(id, leaves);
    }

    function test_revise_refusesAfterTheTerm() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        bytes32 id = open(terms);
        toEpoch(terms.endEpoch);
        expectRefusal(
            nextRevision(id, 1),
            abi.encodeWithSelector(IAgreements.TermOver.selector, id, terms.endEpoch, terms.endEpoch)
        );
    }

    function test_revise_refusesWhileSuspended() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        vm.prank(operator);
        members.suspend(CLIENT);
        expectRefusal(
            nextRevision(id, 1), abi.encodeWithSelector(IPeered.StatusForbids.selector, CLIENT, MemberStatus.SUSPENDED)
        );
    }

    function test_revise_refusesOneSideOnly() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        Revision memory revision = nextRevision(id, 1);
        bytes memory ours = signRevision(nodeKey[CLIENT], revision);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSigner.selector, PROVIDER, node(CLIENT)));
        agreements.revise(revision, ours, ours);
    }

    function test_attack_trafficCountersNeverShrink() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        Revision memory revision = nextRevision(id, 1);
        (revision.bytesUp, revision.bytesDown) = (5, 7);
        revise(revision);
        assertEq(agreements.billOf(id).bytesDown, 7);
        revision = nextRevision(id, 1);
        (revision.bytesUp, revision.bytesDown) = (5, 6);
        bytes memory refused = abi.encodeWithSelector(IAgreements.TrafficShrinks.selector, id, 5, 7);
        expectRefusal(revision, refused);
        (revision.bytesUp, revision.bytesDown) = (4, 7);
        expectRefusal(revision, refused);
    }

    function test_superseded_writesNothing() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        Revision memory revision = nextRevision(id, 1);
        address successor = address(new Agreements(directory));
        bytes memory refused = abi.encodeWithSelector(IPeered.Superseded.selector, Kinds.AGREEMENTS, successor);
        vm.prank(operator);
        directory.set(Kinds.AGREEMENTS, successor);
        expectRefusal(terms, refused);
        expectRefusal(revision, refused);
        vm.startPrank(node(CLIENT));
        vm.expectRevert(refused);
        agreements.announceRemoval(id, "objects", 1);
        vm.expectRevert(refused);
        agreements.cancelRemoval(id);
        vm.stopPrank();
        vm.prank(address(clearing));
        vm.expectRevert(refused);
        agreements.transit(id, AgreementState.ENDED, 0, 0);
    }

    function test_frozen_isTwoEpochsBack() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        revise(id, 3);
        revise(id, 4); // the same epoch: only the last one counts
        toEpoch(5);
        revise(id, 6);
        uint64[8] memory expected = [uint64(0), 0, 0, 0, 4, 4, 4, 6];
        for (uint32 epoch = 0; epoch < 8; ++epoch) {
            (, uint64 leaves, uint64 sequence) = agreements.frozen(id, epoch);
            assertEq(leaves, expected[epoch]);
            assertEq(sequence, epoch < 4 ? 0 : epoch < 7 ? 2 : 3);
        }
        Run[] memory runs = agreements.leafRuns(id, 0, 8);
        assertEq(abi.encode(runs[0]), abi.encode(Run(0, 4)));
        assertEq(abi.encode(runs[1]), abi.encode(Run(4, 7)));
        assertEq(abi.encode(runs[2]), abi.encode(Run(6, 8)));
        assertEq(runs.length, 3);
        assertEq(agreements.leafRuns(id, 5, 5).length, 0);
        assertEq(abi.encode(agreements.leafRuns(id, 5, 6)[0]), abi.encode(Run(4, 6)));
    }

    /// @dev A challenge is over one of the newest three; older roots are told by events.
    function test_frozen_keepsThreeRoots() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        bytes32 id = open(terms);
        for (uint64 epoch = 3; epoch < 12; ++epoch) {
            toEpoch(epoch);
            revise(id, epoch);
            (bytes32 root, uint64 leaves,) = agreements.frozen(id, uint32(epoch));
            if (epoch >= 5) assertEq(root, treeOf(id, epoch - 2).root());
            assertEq(leaves, epoch < 5 ? 0 : epoch - 2);
        }
        (bytes32 gone, uint64 past,) = agreements.frozen(id, 9);
        assertEq(gone, 0);
        assertEq(past, 7);
    }

    /// @dev leafRuns against frozen, epoch by epoch, over any history.
    function testFuzz_leafRuns_agreeWithFrozen(uint8[12] memory steps, uint8 from, uint8 length) public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.endEpoch = type(uint32).max;
        terms.pricePerGibEpoch = 0;
        bytes32 id = open(terms);
        uint256 epoch = 2;
        for (uint256 i = 0; i < steps.length; ++i) {
            epoch += steps[i] % 4;
            toEpoch(epoch);
            revise(id, uint64(100 + i));
        }
        uint32 first = from % 48;
        uint32 end = first + (length % 48);
        Run[] memory runs = agreements.leafRuns(id, first, end);
        uint32 next = first;
        for (uint256 i = 0; i < runs.length; ++i) {
            for (; next < runs[i].until; ++next) {
                (, uint64 leaves,) = agreements.frozen(id, next);
                assertEq(runs[i].leaves, leaves);
            }
        }
        assertEq(next, end);
    }

    function test_views_ofUnknownAgreements() public {
        vm.expectRevert(abi.encodeWithSelector(IAgreements.UnknownAgreement.selector, bytes32("no")));
        agreements.get("no");
        assertEq(uint8(agreements.billOf("no").state), uint8(AgreementState.NONE));
        bytes32[] memory ids = new bytes32[](2);
        ids[0] = "no";
        ids[1] = openBetween(CLIENT, PROVIDER);
        AgreementView[] memory shown = agreements.list(ids);
        assertEq(uint8(shown[0].state), uint8(AgreementState.NONE));
        assertEq(uint8(shown[1].state), uint8(AgreementState.ACTIVE));
        Standing memory standing = agreements.standing("no", 5);
        assertEq(standing.provider, 0);
    }

    function test_stateTable_allowsTheseAndNoOthers() public pure {
        // from: NONE, ACTIVE, GRACE, LAPSED, FAILED, ENDED; to: the same, as bits.
        uint8[6] memory allowed = [2, 4 + 16 + 32, 2 + 8 + 16 + 32, 0, 0, 0];
        for (uint256 from = 0; from < 6; ++from) {
            for (uint256 to = 0; to < 6; ++to) {
                assertEq(StateTable.allows(AgreementState(from), AgreementState(to)), (allowed[from] >> to) & 1 == 1);
            }
        }
    }

    function test_transit_outsideTheTableIsRefused() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        vm.expectRevert(
            abi.encodeWithSelector(IAgreements.NoTransition.selector, id, AgreementState.ACTIVE, AgreementState.LAPSED)
        );
        vm.prank(address(clearing));
        agreements.transit(id, AgreementState.LAPSED, 0, 0);
    }

    function test_offer_limitsWhatIsPromised() public {
        vm.prank(node(PROVIDER));
        members.publishOffer(Offer(100 * MIB, 0, 0, 0, 0, 0, 0));
        openBetween(CLIENT, PROVIDER);
        expectRefusal(
            termsFor(CLIENT, PROVIDER),
            abi.encodeWithSelector(IAgreements.OverOffer.selector, PROVIDER, 64 * MIB, 36 * MIB)
        );
    }
}
