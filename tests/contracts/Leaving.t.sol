// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IBeacon} from "peerage/interfaces/IBeacon.sol";
import {IMembers} from "peerage/interfaces/IMembers.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {AgreementState, Enrolment, MemberStatus, Offer, Terms} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

contract LeavingTest is Network {
    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint32 internal constant OTHER = 3;

    function setUp() public {
        deploy();
        join(4);
        toEpoch(2);
        beatAll();
    }

    function leave(uint32 member) internal {
        vm.prank(account(member));
        members.leave();
    }

    function statusIs(uint32 member, MemberStatus status) internal view {
        assertEq(uint8(members.statusOf(member)), uint8(status));
    }

    /// @dev Passes the agreement's term; nothing is stored, so nothing is due.
    function end(bytes32 id) internal {
        toEpoch(uint256(agreements.get(id).terms.endEpoch) + 1);
        toSecondHalf();
        clearing.settle(id);
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
    }

    function test_leave_withNothingToKeep_isAtOnce() public {
        vm.expectEmit(address(members));
        emit IMembers.MemberLeaving(OTHER);
        vm.expectEmit(address(members));
        emit IMembers.MemberLeft(OTHER);
        leave(OTHER);
        statusIs(OTHER, MemberStatus.LEFT);
        assertEq(members.offerOf(OTHER).capacity, 0);
        assertEq(beacon.activeCount(3), 4);
        assertEq(beacon.activeCount(4), 3, "stood down at once");
    }

    function test_leave_keepsItsPromisesAndMakesNoNewOnes() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        leave(PROVIDER);
        statusIs(PROVIDER, MemberStatus.LEAVING);
        vm.expectRevert(abi.encodeWithSelector(IMembers.StillBound.selector, PROVIDER, 1));
        leave(PROVIDER);
        vm.expectRevert(abi.encodeWithSelector(IMembers.StillBound.selector, PROVIDER, 1));
        members.depart(PROVIDER);

        bytes memory forbidden = abi.encodeWithSelector(IPeered.StatusForbids.selector, PROVIDER, MemberStatus.LEAVING);
        for (uint256 side = 0; side < 2; ++side) {
            Terms memory terms = side == 0 ? termsFor(OTHER, PROVIDER) : termsFor(PROVIDER, OTHER);
            bytes memory ours = signTerms(nodeKey[terms.client], terms);
            bytes memory theirs = signTerms(nodeKey[terms.provider], terms);
            vm.expectRevert(forbidden);
            agreements.open(terms, ours, theirs);
        }
        vm.expectRevert(forbidden);
        vm.prank(node(PROVIDER));
        members.publishOffer(Offer(GIB, 1, 1, 1, 1, 1, 1));

        revise(id, 8);
        toEpoch(4);
        beatAll();
        toEpoch(5);
        beatAll();
        prove(id);
        vm.prank(node(PROVIDER));
        anchors.anchor(0, 1, "head");
        end(id);
        members.depart(PROVIDER);
        statusIs(PROVIDER, MemberStatus.LEFT);
    }

    function test_leave_asClientToo() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        leave(CLIENT);
        statusIs(CLIENT, MemberStatus.LEAVING);
        end(id);
        leave(CLIENT); // its own account may complete it as anyone may
        statusIs(CLIENT, MemberStatus.LEFT);
    }

    function test_left_isForGood() public {
        leave(OTHER);
        bytes memory gone = abi.encodeWithSelector(IMembers.WrongStatus.selector, OTHER, MemberStatus.LEFT);
        vm.expectRevert(gone);
        leave(OTHER);
        vm.expectRevert(gone);
        members.depart(OTHER);
        vm.startPrank(operator);
        vm.expectRevert(gone);
        members.suspend(OTHER);
        vm.expectRevert(gone);
        members.reinstate(OTHER);
        vm.expectPartialRevert(IMembers.AddressTaken.selector);
        members.admit(vm.addr(accountKey[OTHER]), "", "FR", "again");
        vm.stopPrank();
    }

    function test_left_itsNodeKeysActNoMore() public {
        leave(OTHER);
        assertEq(members.memberOf(node(OTHER)), 0);
        assertEq(members.memberOf(account(OTHER)), OTHER);
        bytes20 link = links[OTHER][nextLink[OTHER] - 1];
        toEpoch(3);
        vm.expectRevert(abi.encodeWithSelector(IBeacon.NoTipInEffect.selector, OTHER, 3));
        beacon.beat(OTHER, link);
        bytes memory forbidden = abi.encodeWithSelector(IPeered.StatusForbids.selector, OTHER, MemberStatus.LEFT);
        vm.expectRevert(forbidden);
        vm.prank(account(OTHER));
        beacon.commit("another onion");
        Enrolment memory given = enrolment(OTHER, 77);
        bytes memory signature = signEnrolment(accountKey[OTHER], given);
        vm.expectRevert(forbidden);
        members.enrol(given, "certificate", "host:1", "site", signature);
    }

    function test_left_aCommitmentThatWasPendingIsGone() public {
        commit(OTHER);
        leave(OTHER);
        toEpoch(10);
        bytes20 link = links[OTHER][nextLink[OTHER] - 1];
        vm.expectRevert(abi.encodeWithSelector(IBeacon.NoTipInEffect.selector, OTHER, 10));
        beacon.beat(OTHER, link);
        assertEq(beacon.activeCount(10), 3);
    }

    function test_left_aMemberStoodDownBeforeIsCountedOutOnce() public {
        toEpoch(70);
        beacon.standDown(OTHER);
        leave(OTHER);
        assertEq(beacon.activeCount(80), 3);
    }

    function test_left_itWithdraws() public {
        leave(OTHER);
        vm.prank(account(OTHER));
        clearing.withdraw(START_BALANCE, address(7));
        assertEq(credit.balanceOf(address(7)), START_BALANCE);
    }

    function test_suspended_leavesOnlyWhenNothingBindsIt() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        vm.prank(operator);
        members.suspend(PROVIDER);
        vm.expectRevert(abi.encodeWithSelector(IMembers.StillBound.selector, PROVIDER, 1));
        leave(PROVIDER);
        end(id);
        vm.expectRevert(abi.encodeWithSelector(IMembers.WrongStatus.selector, PROVIDER, MemberStatus.SUSPENDED));
        members.depart(PROVIDER);
        leave(PROVIDER);
        statusIs(PROVIDER, MemberStatus.LEFT);
    }

    function test_attack_leavesToEscapeASuspension() public {
        openBetween(CLIENT, PROVIDER);
        leave(PROVIDER);
        vm.prank(operator);
        members.suspend(PROVIDER);
        statusIs(PROVIDER, MemberStatus.SUSPENDED);
        vm.expectRevert(abi.encodeWithSelector(IMembers.StillBound.selector, PROVIDER, 1));
        leave(PROVIDER);
        statusIs(PROVIDER, MemberStatus.SUSPENDED);
    }

    function test_attack_aStolenNodeKeyMakesItsMemberLeave() public {
        vm.expectRevert(abi.encodeWithSelector(IMembers.UnknownAccount.selector, node(OTHER)));
        vm.prank(node(OTHER));
        members.leave();
        vm.expectRevert(abi.encodeWithSelector(IMembers.WrongStatus.selector, OTHER, MemberStatus.ACTIVE));
        members.depart(OTHER);
    }

    function test_retire_isForMembersOnly() public {
        vm.expectPartialRevert(IPeered.OnlyContract.selector);
        beacon.retire(OTHER);
    }
}
