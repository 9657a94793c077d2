// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Drawing, IBeacon, OnionView} from "peerage/interfaces/IBeacon.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Params} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

contract BeaconTest is Network {
    function setUp() public {
        deploy();
        join(4); // committed in epoch 0, in effect from 2 on
    }

    function linkOf(uint32 member) internal view returns (bytes20) {
        return links[member][nextLink[member] - 1];
    }

    function hashOf(bytes20 link) internal pure returns (bytes20) {
        return bytes20(sha256(abi.encodePacked(link)));
    }

    function test_epochs_followTheClock() public {
        assertEq(beacon.currentEpoch(), 0);
        toEpoch(7);
        assertEq(beacon.currentEpoch(), 7);
        vm.warp(block.timestamp + EPOCH - 1);
        assertEq(beacon.currentEpoch(), 7);
        vm.warp(1);
        assertEq(beacon.currentEpoch(), 0, "before genesis");
    }

    function test_commit_takesEffectTwoEpochsLater() public {
        (bytes20 tip, uint32 from) = beacon.tipOf(1);
        assertEq(tip, hashOf(linkOf(1)));
        assertEq(from, 2);
        assertEq(beacon.activeCount(1), 0);
        assertEq(beacon.activeCount(2), 4);
        bytes20 link = linkOf(1);
        toEpoch(1);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.NoTipInEffect.selector, 1, 1));
        beacon.beat(1, link);
        toEpoch(2);
        beat(1);
        assertEq(beacon.lastBeatOf(1), 2);
    }

    function test_commit_anewKeepsTheOldOnionUntilThen() public {
        toEpoch(2);
        beat(1);
        bytes20 old = linkOf(1);
        commit(1);
        toEpoch(3);
        beacon.beat(1, old);
        toEpoch(4);
        beat(1);
        (bytes20 tip, uint32 from) = beacon.tipOf(1);
        assertEq(tip, links[1][nextLink[1]]);
        assertEq(from, 4);
        assertEq(beacon.activeCount(6), 4, "counted once");
        OnionView memory onion = beacon.onionOf(1);
        assertEq(onion.pending, 0);
        assertEq(onion.lastBeat, 4);
        assertEq(onion.since, 4);
    }

    function test_commit_refusesAZeroTip() public {
        vm.expectRevert(IBeacon.ZeroTip.selector);
        vm.prank(node(1));
        beacon.commit(0);
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        beacon.commit("tip");
    }

    function test_beat_oncePerEpochAndInItsFirstHalf() public {
        toEpoch(2);
        beat(1);
        bytes20 link = linkOf(1);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.AlreadyBeat.selector, 2, 1));
        beacon.beat(1, link);
        vm.warp(block.timestamp + EPOCH / 2 - 1);
        assertTrue(beacon.beatsOpen());
        beat(2);
        vm.warp(block.timestamp + 1);
        assertFalse(beacon.beatsOpen());
        link = linkOf(3);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.BeatsClosed.selector, 2, block.timestamp, block.timestamp));
        beacon.beat(3, link);
    }

    function test_beat_refusesALinkThatIsNotTheNext() public {
        toEpoch(2);
        bytes20 skipped = links[1][nextLink[1] - 2];
        vm.expectRevert(abi.encodeWithSelector(IBeacon.WrongLink.selector, 1, newestTip(1), hashOf(skipped)));
        beacon.beat(1, skipped);
    }

    function newestTip(uint32 member) internal view returns (bytes20 newest) {
        (newest,) = beacon.tipOf(member);
    }

    function test_beat_ofAnotherMembersLinkIsRefused() public {
        toEpoch(2);
        bytes20 stolen = linkOf(1);
        beat(1);
        vm.expectPartialRevert(IBeacon.WrongLink.selector);
        beacon.beat(2, stolen);
    }

    function test_seed_isTheSameInWhateverOrder() public {
        toEpoch(2);
        uint256 snapshot = vm.snapshotState();
        uint160 expected;
        for (uint32 member = 1; member <= 4; ++member) {
            expected ^= uint160(uint256(keccak256(abi.encode(linkOf(member), member))));
        }
        beatAll();
        (bytes32 seed, bool valid) = beacon.seed(3);
        assertTrue(valid);
        assertEq(seed, bytes32(uint256(expected)));
        vm.revertToState(snapshot);
        for (uint32 member = 4; member > 0; --member) {
            beat(member);
        }
        (seed,) = beacon.seed(3);
        assertEq(seed, bytes32(uint256(expected)));
    }

    function test_seed_needsTwoThirdsOfTheActive() public {
        toEpoch(2);
        beat(1);
        beat(2);
        (, bool valid) = beacon.seed(3);
        assertFalse(valid);
        vm.expectEmit(address(beacon));
        emit IBeacon.QuorumReached(2, 3, 4);
        beat(3);
        (, valid) = beacon.seed(3);
        assertTrue(valid);
        assertTrue(beacon.quorate(2));
        assertEq(beacon.beatCount(2), 3);
    }

    function test_valid_needsASeedAndAQuorum() public {
        toEpoch(2);
        beatAll();
        assertFalse(beacon.valid(2), "no seed");
        toEpoch(3);
        assertFalse(beacon.valid(3), "no quorum yet");
        beatAll();
        assertTrue(beacon.valid(3));
        toEpoch(5);
        beatAll();
        assertFalse(beacon.valid(4));
        assertFalse(beacon.valid(5));
        assertEq(beacon.quorateWord(0), (1 << 2) | (1 << 3) | (1 << 5));
        assertFalse(beacon.valid(0));
        (, bool seeded) = beacon.seed(0);
        assertFalse(seeded);
    }

    function test_quorateWord_hasABitForEachEpoch() public {
        for (uint256 epoch = 254; epoch <= 258; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        assertEq(beacon.quorateWord(0), 3 << 254);
        assertEq(beacon.quorateWord(1), 7);
    }

    function test_standDown_afterALongSilence() public {
        toEpoch(66);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.NotStandingDown.selector, 4, 2, 66));
        beacon.standDown(4);
        toEpoch(67);
        beacon.standDown(4);
        assertEq(beacon.activeCount(68), 4);
        assertEq(beacon.activeCount(69), 3);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.NotStandingDown.selector, 4, 2, 67));
        beacon.standDown(4);
        // A new commitment alone does not count it in again; a beat does.
        commit(4);
        assertEq(beacon.activeCount(70), 3);
        toEpoch(69);
        beat(4);
        assertEq(beacon.activeCount(70), 3);
        assertEq(beacon.activeCount(71), 4);
    }

    function test_standDown_byTheRulesInForce() public {
        Params memory next = directory.params();
        next.standDownAfter = 20;
        vm.prank(operator);
        directory.announceRules(next, 60);
        toEpoch(59);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.NotStandingDown.selector, 4, 2, 59));
        beacon.standDown(4);
        toEpoch(60);
        beacon.standDown(4);
        assertEq(beacon.activeCount(62), 3);
    }

    function test_standDown_refusesAMemberThatNeverCommitted() public {
        uint32 silent = admit();
        toEpoch(100);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.NotStandingDown.selector, silent, 0, 100));
        beacon.standDown(silent);
    }

    function test_lastBeatOf_isNotTheEpochOfACommitment() public {
        toEpoch(2);
        assertEq(beacon.lastBeatOf(1), 0);
        beat(1);
        assertEq(beacon.lastBeatOf(1), 2);
    }

    function test_seed_isKeptForTheLastEpochs() public {
        for (uint256 epoch = 2; epoch <= 7; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        for (uint32 epoch = 5; epoch <= 8; ++epoch) {
            (, bool seeded) = beacon.seed(epoch);
            assertTrue(seeded);
            assertEq(beacon.beatCount(epoch - 1), 4);
        }
        vm.expectRevert(abi.encodeWithSelector(IBeacon.EpochForgotten.selector, 3));
        beacon.seed(4);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.EpochForgotten.selector, 3));
        beacon.beatCount(3);
        assertEq(beacon.beatCount(8), 0, "not yet");
        (, bool ahead) = beacon.seed(9);
        assertFalse(ahead);
    }

    function test_onionOf_tellsSinceWhenItsCommitmentHolds() public {
        toEpoch(2);
        beat(1);
        commit(1); // from 4
        OnionView memory onion = beacon.onionOf(1);
        assertEq(onion.since, 2);
        assertEq(onion.pendingFrom, 4);
        toEpoch(3);
        commit(1); // from 5, in place of the one from 4
        onion = beacon.onionOf(1);
        assertEq(onion.since, 2);
        assertEq(onion.pendingFrom, 5);
        toEpoch(5);
        onion = beacon.onionOf(1);
        assertEq(onion.since, 5);
        assertEq(onion.pending, 0);
        assertEq(onion.tip, newestTip(1));
        commit(1); // from 7
        onion = beacon.onionOf(1);
        assertEq(onion.since, 5);
        assertEq(onion.pendingFrom, 7);
    }

    function test_drawingOf_tellsWhatOneReadsElsewhere() public {
        for (uint256 epoch = 2; epoch <= 4; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        Drawing memory drawing = beacon.drawingOf(1, 3);
        OnionView memory onion = beacon.onionOf(1);
        (bytes32 seed,) = beacon.seed(3);
        assertEq(drawing.link, onion.tip);
        assertEq(drawing.since, onion.since);
        assertEq(drawing.lastBeat, 4);
        assertEq(drawing.seed, seed);
        assertEq(drawing.active, beacon.activeCount(2));
        assertEq(beacon.drawingOf(1, 0).active, 0);
        assertEq(beacon.drawingOf(1, 2).active, 0, "nobody beat in the epoch before");
        assertEq(beacon.drawingOf(1, 200).active, 0);
        commit(1);
        assertEq(beacon.drawingOf(1, 3).since, 2, "until the new commitment speaks");
    }

    function test_noActiveMembers_noQuorum() public {
        toEpoch(67);
        for (uint32 member = 1; member <= 4; ++member) {
            beacon.standDown(member);
        }
        toEpoch(69);
        beatAll();
        assertFalse(beacon.quorate(69));
        toEpoch(71);
        beatAll();
        assertTrue(beacon.quorate(71));
    }
}
