// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Drawing} from "peerage/interfaces/IBeacon.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {IQuality, Probe, QualityRecord, Reported} from "peerage/interfaces/IQuality.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {Figures, Probes} from "peerage/libraries/Probes.sol";
import {MemberStatus, Params, Terms} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

/// @notice Who may report, what the reports come to, what it costs a provider; and what its friends and enemies try.
contract QualityTest is Network {
    uint32 internal constant PROVIDER = 1;
    uint32 internal constant EPOCH_PROBED = 4;
    bytes32 internal constant ENTITY = keccak256("one company");

    bool private unlisted;
    uint32 private lateness;

    function setUp() public {
        start(16);
    }

    /// @dev Nine members; 8 and 9 are of one legal entity. With a committee of 16, all are drawn.
    function start(uint8 committee) internal {
        Params memory params;
        params.epochSeconds = uint32(EPOCH);
        params.samples = 2;
        params.committee = committee;
        deploy(params);
        join(7);
        join(ENTITY);
        join(ENTITY);
        to(EPOCH_PROBED + 1);
    }

    /// @dev Every epoch until this one is beaten.
    function to(uint32 epoch) internal {
        uint32 next = beacon.currentEpoch() + 1;
        for (next = next < 2 ? 2 : next; next <= epoch; ++next) {
            toEpoch(next);
            beatAll();
        }
    }

    // What reports come to

    function test_threeReports_makeTheMedian() public {
        report(2, PROVIDER, Figures(100, 70, 5, 100));
        report(3, PROVIDER, Figures(300, 50, 9, 90));
        assertEq(quality.recordOf(PROVIDER, EPOCH_PROBED).reports, 0);
        vm.expectEmit(address(quality));
        emit IQuality.ProbeReported(EPOCH_PROBED, PROVIDER, 4, Figures(120, 60, 7, 95));
        vm.expectEmit(address(quality));
        emit IQuality.QualityRecorded(EPOCH_PROBED, PROVIDER, Figures(120, 60, 7, 95), 3, 2);
        report(4, PROVIDER, Figures(120, 60, 7, 95));
        QualityRecord memory found = quality.recordOf(PROVIDER, EPOCH_PROBED);
        assertEq(found.reports, 3);
        assertEq(keccak256(abi.encode(found.figures)), keccak256(abi.encode(Figures(120, 60, 7, 95))));
    }

    function test_eachFigureHasItsOwnMedian_theLowerOfTwo() public {
        report(2, PROVIDER, Figures(1, 40, 300, 0));
        report(3, PROVIDER, Figures(2, 30, 100, 100));
        report(4, PROVIDER, Figures(3, 20, 400, 50));
        report(5, PROVIDER, Figures(4, 10, 200, 75));
        QualityRecord memory found = quality.recordOf(PROVIDER, EPOCH_PROBED);
        assertEq(keccak256(abi.encode(found.figures)), keccak256(abi.encode(Figures(2, 20, 200, 50))));
        assertEq(found.reports, 4);
    }

    function test_reportsAreShown_withWhatIsInDispute() public {
        report(2, PROVIDER, Figures(100, 100, 10, 100));
        report(3, PROVIDER, Figures(90, 110, 60, 76));
        (, Reported[] memory early) = quality.reportsOn(PROVIDER);
        assertEq(early.length, 2);
        assertFalse(early[0].disputed || early[1].disputed);
        report(4, PROVIDER, Figures(201, 100, 10, 100)); // more than the double
        report(5, PROVIDER, Figures(100, 49, 10, 100)); // less than a half
        report(6, PROVIDER, Figures(100, 100, 61, 100)); // 51 ms later
        report(7, PROVIDER, Figures(100, 100, 10, 74)); // 26 points less
        report(8, PROVIDER, Figures(200, 50, 60, 75));
        (uint32 epoch, Reported[] memory shown) = quality.reportsOn(PROVIDER);
        assertEq(epoch, EPOCH_PROBED);
        assertEq(shown.length, 7);
        bool[7] memory expected = [false, false, true, true, true, true, false];
        for (uint32 i = 0; i < 7; ++i) {
            assertEq(shown[i].member, i + 2);
            assertEq(shown[i].disputed, expected[i], vm.toString(i));
        }
        assertEq(shown[3].figures.up, 49);
    }

    function test_placesAreUsedAgain_andRecordsStay() public {
        for (uint32 round = 0; round < 3; ++round) {
            uint32 epoch = EPOCH_PROBED + round;
            to(epoch + 1);
            for (uint32 member = 2; member < 7 - round; ++member) {
                report(member, PROVIDER, Figures(100 * (round + 1) + member, 1, 1, 100));
            }
            (uint32 shownEpoch, Reported[] memory shown) = quality.reportsOn(PROVIDER);
            assertEq(shownEpoch, epoch);
            assertEq(shown.length, 5 - round);
        }
        QualityRecord[] memory records = quality.recordsOf(PROVIDER, EPOCH_PROBED - 1, EPOCH_PROBED + 4);
        assertEq(records.length, 5);
        assertEq(records[0].reports, 0);
        assertEq(records[1].figures.down, 104);
        assertEq(records[2].figures.down, 203);
        assertEq(records[3].figures.down, 303);
        assertEq(records[4].reports, 0);
    }

    function test_manyAtOnce() public {
        Probe[] memory probes = new Probe[](3);
        for (uint32 i = 0; i < 3; ++i) {
            probes[i] = Probe(i + 2, Figures(10 + i, 1, 1, 100));
        }
        uint32[3] memory probers = [uint32(1), 5, 6];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(node(probers[i]));
            quality.report(EPOCH_PROBED, probes);
        }
        for (uint32 i = 0; i < 3; ++i) {
            assertEq(quality.recordOf(i + 2, EPOCH_PROBED).figures.down, 10 + i);
        }
    }

    function test_nobodyReported() public view {
        (uint32 epoch, Reported[] memory shown) = quality.reportsOn(PROVIDER);
        assertEq(epoch, 0);
        assertEq(shown.length, 0);
        assertEq(quality.shortfalls(PROVIDER, 0, 256, clause(1000, 1000, 1, 50)), 0);
    }

    function test_shortfalls_areTheRecordsBelowTheClause() public {
        uint32[5] memory downs = [uint32(50), 100, 99, 500, 10];
        for (uint32 round = 0; round < 5; ++round) {
            to(EPOCH_PROBED + round + 1);
            // The last epoch has two reports, so no record.
            for (uint32 member = 2; member < (round == 4 ? 4 : 5); ++member) {
                report(member, PROVIDER, Figures(downs[round], 80, 20, 100));
            }
        }
        assertEq(quality.shortfalls(PROVIDER, EPOCH_PROBED, EPOCH_PROBED + 5, clause(100, 0, 0, 50)), 5);
        assertEq(quality.shortfalls(PROVIDER, EPOCH_PROBED + 1, EPOCH_PROBED + 5, clause(100, 0, 0, 50)), 2);
        assertEq(quality.shortfalls(PROVIDER, 0, 256, clause(0, 81, 0, 50)), 0xf << EPOCH_PROBED);
        assertEq(quality.shortfalls(PROVIDER, 0, 256, clause(0, 80, 20, 50)), 0);
        assertEq(quality.shortfalls(PROVIDER, 9, 9, clause(100, 0, 0, 50)), 0);
    }

    /// @dev Whatever the records are, a range of epochs shows those that are short one by one.
    /// forge-config: default.fuzz.runs = 256
    function testFuzz_shortfalls_areThoseOfEachEpoch(uint256 seed, uint32 from, uint16 length) public {
        uint256 number = length % 257;
        from = uint32(bound(from, 0, type(uint32).max - 300));
        for (uint256 pair = from >> 1; pair <= (from + number) >> 1; ++pair) {
            bytes32 slot = keccak256(abi.encode(pair, keccak256(abi.encode(uint256(PROVIDER), uint256(1)))));
            uint256 drawn = uint256(keccak256(abi.encode(seed, pair)));
            // Records of small figures, each half of a word there or not.
            uint256 word = Probes.withRecord(0, 0, drawn % 4 == 0 ? 0 : record(drawn >> 8));
            vm.store(
                address(quality), slot, bytes32(Probes.withRecord(word, 1, drawn % 5 == 0 ? 0 : record(drawn >> 128)))
            );
        }
        bytes32 asked = clause(seed % 200, (seed >> 8) % 200, (seed >> 16) % 200, 50);
        uint256 bits = quality.shortfalls(PROVIDER, from, from + uint32(number), asked);
        for (uint32 i = 0; i < number; ++i) {
            QualityRecord memory found = quality.recordOf(PROVIDER, from + i);
            Figures memory figures = found.figures;
            bool slow = figures.down < seed % 200 || figures.up < (seed >> 8) % 200;
            bool late = (seed >> 16) % 200 != 0 && figures.latency > (seed >> 16) % 200;
            assertEq((bits >> i) & 1 == 1, found.reports != 0 && (slow || late), vm.toString(i));
        }
        assertEq(bits >> number, 0);
    }

    function record(uint256 drawn) internal pure returns (uint256) {
        uint256 figures = drawn % 200 | ((drawn >> 8) % 200) << 32 | ((drawn >> 16) % 200) << 64;
        return figures | ((drawn >> 24) % 101) << 96 | (3 + (drawn >> 32) % 14) << 104;
    }

    function test_refusedRanges() public {
        vm.expectRevert(abi.encodeWithSelector(IQuality.BadRange.selector, 5, 4));
        quality.shortfalls(PROVIDER, 5, 4, 0);
        vm.expectRevert(abi.encodeWithSelector(IQuality.BadRange.selector, 0, 257));
        quality.recordsOf(PROVIDER, 0, 257);
    }

    // Who may report

    function test_onlyInTheFirstHalfOfTheNextEpoch() public {
        refuse(2, EPOCH_PROBED + 1, PROVIDER, ok(), closed(EPOCH_PROBED + 1, EPOCH_PROBED + 1));
        refuse(2, EPOCH_PROBED - 1, PROVIDER, ok(), closed(EPOCH_PROBED - 1, EPOCH_PROBED + 1));
        refuse(2, type(uint32).max, PROVIDER, ok(), closed(type(uint32).max, EPOCH_PROBED + 1));
        toSecondHalf();
        refuse(2, EPOCH_PROBED, PROVIDER, ok(), closed(EPOCH_PROBED, EPOCH_PROBED + 1));
    }

    function test_onlyAfterTheBeat() public {
        toEpoch(EPOCH_PROBED + 2);
        bytes memory expected =
            abi.encodeWithSelector(IQuality.BeatFirst.selector, 2, EPOCH_PROBED + 1, EPOCH_PROBED + 2);
        refuse(2, EPOCH_PROBED + 1, PROVIDER, ok(), expected);
        beat(2);
        report(2, PROVIDER, ok());
    }

    function test_onlyMembersThatMayWrite() public {
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        quality.report(EPOCH_PROBED, new Probe[](0));
        vm.prank(operator);
        members.suspend(2);
        bytes memory expected = abi.encodeWithSelector(IPeered.StatusForbids.selector, 2, MemberStatus.SUSPENDED);
        refuse(2, EPOCH_PROBED, PROVIDER, ok(), expected);
    }

    function test_onlyOnMembers_andWithinBounds() public {
        refuse(2, EPOCH_PROBED, 99, ok(), abi.encodeWithSelector(IQuality.UnknownProvider.selector, 99));
        bytes memory expected = abi.encodeWithSelector(IQuality.BadAvailability.selector, PROVIDER, 101);
        refuse(2, EPOCH_PROBED, PROVIDER, Figures(1, 1, 1, 101), expected);
    }

    function test_noSeed_nobodyIsDrawn() public {
        uint32 probed = EPOCH_PROBED + 3; // nobody beat in the epoch before
        for (uint32 epoch = probed; epoch <= probed + 1; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        refuse(2, probed, PROVIDER, ok(), abi.encodeWithSelector(IQuality.NoSeed.selector, probed));
    }

    function test_aCommitteeHasItsBound() public {
        while (members.count() < 35) {
            join();
        }
        toEpoch(EPOCH_PROBED + 3);
        beatAll();
        toEpoch(EPOCH_PROBED + 4);
        beatAll();
        toEpoch(EPOCH_PROBED + 5);
        beatAll();
        uint32 probed = EPOCH_PROBED + 4;
        for (uint32 member = 2; member <= 35; ++member) {
            // So that all are drawn.
            Drawing memory drawing = beacon.drawingOf(member, probed);
            drawing.active = 1;
            vm.mockCall(address(beacon), abi.encodeCall(beacon.drawingOf, (member, probed)), abi.encode(drawing));
            if (member != 9 && member != 35) reportIn(member, probed, PROVIDER, ok());
        }
        refuse(35, probed, PROVIDER, ok(), abi.encodeWithSelector(IQuality.CommitteeFull.selector, probed, PROVIDER));
        (, Reported[] memory shown) = quality.reportsOn(PROVIDER);
        assertEq(shown.length, 32);
        assertEq(quality.recordOf(PROVIDER, probed).reports, 32);
    }

    // What it costs

    function test_pay_isWithheldInEpochsBelowTheClause() public {
        uint256 start_ = vm.snapshotState();
        uint256 whole = settledPay(0);
        vm.revertToState(start_);
        assertEq(settledPay(clause(10, 10, 0, 30)), whole);
        vm.revertToState(start_);
        // Of six proven epochs, three had a record, all of them below.
        uint256 reduced = settledPay(clause(100, 100, 0, 30));
        assertEq(reduced, whole - 3 * (whole / 6 - whole / 6 * 70 / 100));
    }

    function test_pay_isWholeWhereNobodyMeasures() public {
        uint256 start_ = vm.snapshotState();
        uint256 whole = settledPay(0);
        vm.revertToState(start_);
        unlisted = true;
        assertEq(settledPay(clause(100, 100, 0, 30)), whole);
    }

    function test_open_refusesAClauseThatItDoesNotKnow() public {
        Terms memory terms = termsFor(3, PROVIDER);
        terms.qualityClause = bytes32(uint256(clause(1, 1, 1, 1)) | 1);
        bytes memory ours = signTerms(nodeKey[3], terms);
        bytes memory theirs = signTerms(nodeKey[PROVIDER], terms);
        vm.expectRevert(abi.encodeWithSelector(IPeered.UnsupportedExtension.selector, terms.qualityClause));
        agreements.open(terms, ours, theirs);
    }

    // Attacks

    /// @dev Three honest reports of three entities, and two of friends: the median is an honest one.
    function test_attack_friendsReportFalsely_theMedianHolds() public {
        report(2, PROVIDER, Figures(4_000_000, 4_000_000, 0, 100));
        report(3, PROVIDER, Figures(4_000_000, 4_000_000, 0, 100));
        report(4, PROVIDER, Figures(110, 60, 20, 100));
        report(5, PROVIDER, Figures(100, 50, 25, 100));
        report(6, PROVIDER, Figures(105, 55, 30, 90));
        QualityRecord memory found = quality.recordOf(PROVIDER, EPOCH_PROBED);
        assertLe(found.figures.down, 110);
        assertGe(found.figures.down, 100);
        assertGe(found.figures.latency, 20);
        (, Reported[] memory shown) = quality.reportsOn(PROVIDER);
        assertTrue(shown[0].disputed && shown[1].disputed);
        assertFalse(shown[2].disputed || shown[3].disputed || shown[4].disputed);
    }

    function test_attack_enemiesReportFalsely_theMedianHolds() public {
        report(2, PROVIDER, Figures(0, 0, type(uint32).max, 0));
        report(3, PROVIDER, Figures(0, 0, type(uint32).max, 0));
        report(4, PROVIDER, Figures(110, 60, 20, 100));
        report(5, PROVIDER, Figures(100, 50, 25, 100));
        report(6, PROVIDER, Figures(105, 55, 30, 90));
        assertGe(quality.recordOf(PROVIDER, EPOCH_PROBED).figures.down, 100);
        assertEq(quality.shortfalls(PROVIDER, EPOCH_PROBED, EPOCH_PROBED + 1, clause(100, 50, 30, 50)), 0);
    }

    function test_attack_twoFriendsMakeNoRecord() public {
        report(2, PROVIDER, ok());
        report(3, PROVIDER, ok());
        assertEq(quality.recordOf(PROVIDER, EPOCH_PROBED).reports, 0);
    }

    function test_attack_reportsWithoutBeingDrawn() public {
        start(1);
        (bytes32 seed,) = beacon.seed(EPOCH_PROBED);
        uint256 refused;
        for (uint32 member = 2; member <= 9; ++member) {
            bytes20 link = beacon.onionOf(member).tip;
            if (Probes.drawn(seed, link, PROVIDER, beacon.activeCount(EPOCH_PROBED - 1), 1)) {
                report(member, PROVIDER, ok());
                continue;
            }
            ++refused;
            bytes memory expected = abi.encodeWithSelector(IQuality.NotDrawn.selector, EPOCH_PROBED, member, PROVIDER);
            refuse(member, EPOCH_PROBED, PROVIDER, ok(), expected);
        }
        assertGt(refused, 3);
    }

    function test_attack_reportsForAnotherMember() public {
        // Whoever sends, it is the sender's member that reports.
        report(2, PROVIDER, ok());
        (, Reported[] memory shown) = quality.reportsOn(PROVIDER);
        assertEq(shown[0].member, 2);
    }

    function test_attack_oneLegalEntityReportsTwice() public {
        report(8, PROVIDER, ok());
        bytes memory again = abi.encodeWithSelector(IQuality.EntityReported.selector, EPOCH_PROBED, PROVIDER, 9);
        refuse(9, EPOCH_PROBED, PROVIDER, ok(), again);
    }

    function test_attack_inflatesItsOwnQuality() public {
        bytes memory own = abi.encodeWithSelector(IQuality.OwnEntity.selector, 8, 9);
        refuse(8, EPOCH_PROBED, 9, ok(), own);
        own = abi.encodeWithSelector(IQuality.OwnEntity.selector, PROVIDER, PROVIDER);
        refuse(PROVIDER, EPOCH_PROBED, PROVIDER, ok(), own);
    }

    function test_attack_replaysAReport() public {
        report(2, PROVIDER, ok());
        bytes memory again = abi.encodeWithSelector(IQuality.EntityReported.selector, EPOCH_PROBED, PROVIDER, 2);
        refuse(2, EPOCH_PROBED, PROVIDER, ok(), again);
        to(EPOCH_PROBED + 2);
        refuse(2, EPOCH_PROBED, PROVIDER, ok(), closed(EPOCH_PROBED, EPOCH_PROBED + 2));
    }

    /// @dev A member that commits a new onion once it knows the seed, to be drawn for its friend, comes too late.
    function test_attack_grindsItsOnionToBeDrawn() public {
        to(EPOCH_PROBED + 3);
        commit(2); // knows the seed of EPOCH_PROBED + 4 once the beats of this epoch are over
        uint32 probed = EPOCH_PROBED + 4;
        toEpoch(probed);
        for (uint32 member = 1; member <= 9; ++member) {
            if (member != 2) beat(member);
        }
        toEpoch(probed + 1);
        beatAll();
        bytes memory expected = abi.encodeWithSelector(IQuality.OnionTooNew.selector, 2, probed + 1, probed);
        refuse(2, probed, PROVIDER, ok(), expected);
        to(probed + 2);
        reportIn(2, probed + 1, PROVIDER, ok());
    }

    function test_attack_aLateSettlementLosesNoShortfall() public {
        bytes32 asked = clause(100, 100, 0, 30);
        uint256 start_ = vm.snapshotState();
        uint256 soon = settledPay(asked);
        vm.revertToState(start_);
        lateness = 200;
        assertEq(settledPay(asked), soon);
    }

    // The stage

    /// @dev What six proven epochs earn, of which three have a record, of 50 KiB/s. Then the provider proves no more.
    function settledPay(bytes32 asked) internal returns (uint256) {
        Terms memory terms = termsFor(3, PROVIDER);
        terms.qualityClause = asked;
        bytes32 id = open(terms);
        revise(id, 20);
        uint32 first = beacon.currentEpoch() + 2;
        to(first);
        for (uint32 i = 0; i < 6; ++i) {
            prove(id);
            to(first + i + 1);
            for (uint32 member = 4; i % 2 == 0 && member < 7; ++member) {
                report(member, PROVIDER, Figures(50, 50, 10, 100));
            }
        }
        to(beacon.currentEpoch() + lateness);
        if (unlisted) {
            vm.mockCall(address(directory), abi.encodeCall(directory.get, (Kinds.QUALITY)), abi.encode(address(0)));
        }
        toSecondHalf();
        clearing.settle(id);
        assertGe(clearing.ledgerOf(id).nextEpoch, first + 6);
        return clearing.ledgerOf(id).paid;
    }

    function clause(uint256 down, uint256 up, uint256 latency, uint256 percent) internal pure returns (bytes32) {
        return bytes32(1 << 248 | down << 216 | up << 184 | latency << 152 | percent << 144);
    }

    function ok() internal pure returns (Figures memory) {
        return Figures(100, 100, 10, 100);
    }

    function closed(uint32 epoch, uint32 current) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IQuality.ReportsClosed.selector, epoch, current);
    }

    function one(uint32 provider, Figures memory figures) internal pure returns (Probe[] memory probes) {
        probes = new Probe[](1);
        probes[0] = Probe(provider, figures);
    }

    function report(uint32 member, uint32 provider, Figures memory figures) internal {
        reportIn(member, beacon.currentEpoch() - 1, provider, figures);
    }

    function reportIn(uint32 member, uint32 epoch, uint32 provider, Figures memory figures) internal {
        vm.prank(node(member));
        quality.report(epoch, one(provider, figures));
    }

    function refuse(uint32 member, uint32 epoch, uint32 provider, Figures memory figures, bytes memory expected)
        internal
    {
        Probe[] memory probes = one(provider, figures);
        vm.expectRevert(expected);
        vm.prank(node(member));
        quality.report(epoch, probes);
    }
}
