// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IMembers, MemberView} from "peerage/interfaces/IMembers.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {TypedData} from "peerage/libraries/TypedData.sol";
import {Enrolment, MemberStatus, Offer, Revocation} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

contract MembersTest is Network {
    uint32 internal member;
    uint256 internal key;

    function setUp() public {
        deploy();
        member = admit();
        key = newKey();
        nodeKey[member] = key;
    }

    function send(Enrolment memory given) internal {
        bytes memory signature = signEnrolment(accountKey[member], given);
        members.enrol(given, "certificate", "host:1", "site", signature);
    }

    function expectRefusal(Enrolment memory given, bytes memory expected) internal {
        bytes memory signature = signEnrolment(accountKey[member], given);
        vm.expectRevert(expected);
        members.enrol(given, "certificate", "host:1", "site", signature);
    }

    // Admission

    function test_admit_numbersMembersFromOne() public {
        assertEq(member, 1);
        vm.expectEmit(address(members));
        emit IMembers.MemberAdmitted(2, address(7), "entity", "DE", "Second");
        vm.prank(operator);
        assertEq(members.admit(address(7), "entity", "DE", "Second"), 2);
        assertEq(members.memberOfAccount(address(7)), 2);
        assertEq(members.memberOf(address(7)), 2);
        assertEq(uint8(members.statusOf(2)), uint8(MemberStatus.ACTIVE));
        assertEq(members.accountOf(2), address(7));
        assertEq(members.count(), 2);
    }

    function test_admit_isForTheOperator() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), members.OPERATOR_ROLE()
            )
        );
        members.admit(address(7), "", "FR", "");
    }

    function test_admit_refusesAnAddressInUse() public {
        enrol(member, key);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IMembers.AddressTaken.selector, account(member), member));
        members.admit(account(member), "", "FR", "");
        vm.expectRevert(abi.encodeWithSelector(IMembers.AddressTaken.selector, vm.addr(key), member));
        members.admit(vm.addr(key), "", "FR", "");
        vm.expectRevert(IMembers.BadAddress.selector);
        members.admit(address(0), "", "FR", "");
        vm.stopPrank();
    }

    function test_suspend_andReinstate() public {
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IMembers.WrongStatus.selector, member, MemberStatus.ACTIVE));
        members.reinstate(member);
        members.suspend(member);
        assertEq(uint8(members.statusOf(member)), uint8(MemberStatus.SUSPENDED));
        vm.expectRevert(abi.encodeWithSelector(IMembers.WrongStatus.selector, member, MemberStatus.SUSPENDED));
        members.suspend(member);
        members.reinstate(member);
        assertEq(uint8(members.statusOf(member)), uint8(MemberStatus.ACTIVE));
        vm.expectRevert(abi.encodeWithSelector(IMembers.UnknownMember.selector, 5));
        members.suspend(5);
        vm.stopPrank();
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        members.suspend(member);
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        members.reinstate(member);
    }

    function test_suspended_aMemberKeepsItsKeysAndItsPlace() public {
        vm.prank(operator);
        members.suspend(member);
        enrol(member, key); // a recovery must never be refused
        assertEq(members.memberOf(vm.addr(key)), member);
        vm.prank(vm.addr(key));
        members.announce("host:2", "site");
    }

    // Enrolment

    function test_enrol_makesTheKeyActForTheMember() public {
        assertEq(members.memberOf(vm.addr(key)), 0);
        enrol(member, key);
        assertEq(members.memberOf(vm.addr(key)), member);
        MemberView[] memory shown = members.roster(1, 10);
        assertEq(shown.length, 1);
        assertEq(shown[0].account, account(member));
        assertEq(shown[0].jurisdiction, bytes2("FR"));
        assertEq(shown[0].nodes.length, 1);
        assertEq(shown[0].nodes[0].key, vm.addr(key));
        assertEq(shown[0].nodes[0].certificate, "certificate");
        assertEq(shown[0].nodes[0].endpoint, "host:1");
        assertFalse(shown[0].nodes[0].revoked);
    }

    function test_enrol_expires() public {
        Enrolment memory given = enrolment(member, key);
        send(given);
        vm.warp(given.expiresAt - 1);
        assertEq(members.memberOf(vm.addr(key)), member);
        vm.warp(given.expiresAt);
        assertEq(members.memberOf(vm.addr(key)), 0);
        (uint32 found, MemberStatus status, uint256 limit) = members.authority(vm.addr(key));
        assertEq(found, 0);
        assertEq(uint8(status), uint8(MemberStatus.NONE));
        assertEq(limit, 0);
    }

    function test_enrol_refusesAnotherSigner() public {
        Enrolment memory given = enrolment(member, key);
        bytes memory signature = signEnrolment(key, given);
        vm.expectRevert(abi.encodeWithSelector(IMembers.BadSignature.selector, account(member), vm.addr(key)));
        members.enrol(given, "certificate", "host:1", "site", signature);
    }

    function test_enrol_refusesASignatureOfAnotherLength() public {
        Enrolment memory given = enrolment(member, key);
        bytes memory signature = abi.encodePacked(signEnrolment(accountKey[member], given), hex"00");
        vm.expectRevert(abi.encodeWithSelector(IMembers.BadSignature.selector, account(member), address(0)));
        members.enrol(given, "certificate", "host:1", "site", signature);
    }

    function test_enrol_refusesAnotherCertificate() public {
        Enrolment memory given = enrolment(member, key);
        bytes memory signature = signEnrolment(accountKey[member], given);
        vm.expectRevert(
            abi.encodeWithSelector(IMembers.CertificateMismatch.selector, sha256("certificate"), sha256("other"))
        );
        members.enrol(given, "other", "host:1", "site", signature);
    }

    function test_enrol_refusesBadFields() public {
        Enrolment memory given = enrolment(member, key);
        given.version = 2;
        expectRefusal(given, abi.encodeWithSelector(IPeered.UnsupportedVersion.selector, 2));
        given = enrolment(member, key);
        given.extension = "x";
        expectRefusal(given, abi.encodeWithSelector(IPeered.UnsupportedExtension.selector, bytes32("x")));
        given = enrolment(member, key);
        given.expiresAt = uint64(block.timestamp);
        expectRefusal(
            given, abi.encodeWithSelector(IMembers.EnrolmentExpired.selector, given.expiresAt, block.timestamp)
        );
        given = enrolment(member, key);
        given.issuedAt = uint64(block.timestamp + 1 days + 1);
        expectRefusal(given, abi.encodeWithSelector(IMembers.IssuedInFuture.selector, given.issuedAt, block.timestamp));
        given = enrolment(member, key);
        given.account = address(5);
        expectRefusal(given, abi.encodeWithSelector(IMembers.UnknownAccount.selector, address(5)));
        given = enrolment(member, key);
        given.node = account(member);
        expectRefusal(given, abi.encodeWithSelector(IMembers.AddressTaken.selector, account(member), member));
    }

    function test_enrol_refusesWhatIsTooLong() public {
        Enrolment memory given = enrolment(member, key);
        bytes memory signature = signEnrolment(accountKey[member], given);
        string memory long = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IMembers.TooLong.selector, "endpoint", 257, 256));
        members.enrol(given, "certificate", long, "site", signature);
        vm.expectRevert(abi.encodeWithSelector(IMembers.TooLong.selector, "site", 257, 64));
        members.enrol(given, "certificate", "host:1", long, signature);
        vm.expectRevert(abi.encodeWithSelector(IMembers.TooLong.selector, "certificate", 4097, 4096));
        members.enrol(given, new bytes(4097), "host:1", "site", signature);
    }

    function test_enrol_boundsAMembersKeys() public {
        for (uint256 i = 0; i < 256; ++i) {
            enrol(member, newKey());
        }
        expectRefusal(enrolment(member, newKey()), abi.encodeWithSelector(IMembers.TooManyNodes.selector, member, 256));
    }

    function test_enrol_exclusivelyRevokesTheOthers() public {
        enrol(member, key);
        vm.warp(block.timestamp + 10);
        uint256 fresh = newKey();
        Enrolment memory given = enrolment(member, fresh);
        given.exclusive = true;
        vm.expectEmit(address(members));
        emit IMembers.NodeRevoked(member, vm.addr(key));
        send(given);
        assertEq(members.memberOf(vm.addr(key)), 0);
        assertEq(members.memberOf(vm.addr(fresh)), member);
    }

    function test_enrol_oneSignedBeforeAnExclusiveOneIsVoid() public {
        Enrolment memory early = enrolment(member, key);
        vm.warp(block.timestamp + 10);
        Enrolment memory given = enrolment(member, newKey());
        given.exclusive = true;
        send(given);
        expectRefusal(
            early, abi.encodeWithSelector(IMembers.EnrolmentSuperseded.selector, early.issuedAt, given.issuedAt)
        );
    }

    function test_enrol_aLateExclusiveOneSparesNewerKeys() public {
        Enrolment memory late = enrolment(member, newKey());
        late.exclusive = true;
        vm.warp(block.timestamp + 10);
        enrol(member, key);
        send(late);
        assertEq(members.memberOf(vm.addr(key)), member);
    }

    // Revocation

    function test_revoke_byTheAccount() public {
        enrol(member, key);
        vm.prank(account(member));
        members.revoke(vm.addr(key));
        assertEq(members.memberOf(vm.addr(key)), 0);
        assertTrue(members.roster(1, 1)[0].nodes[0].revoked);
        vm.expectRevert(abi.encodeWithSelector(IMembers.AlreadyRevoked.selector, vm.addr(key)));
        vm.prank(account(member));
        members.revoke(vm.addr(key));
    }

    function test_revoke_isNotForNodeKeysNorOtherMembers() public {
        enrol(member, key);
        uint32 other = join();
        vm.expectRevert(abi.encodeWithSelector(IMembers.NotTheAccount.selector, member, vm.addr(key)));
        vm.prank(vm.addr(key));
        members.revoke(vm.addr(key));
        vm.expectRevert(abi.encodeWithSelector(IMembers.NotTheAccount.selector, member, account(other)));
        vm.prank(account(other));
        members.revoke(vm.addr(key));
        vm.expectRevert(abi.encodeWithSelector(IMembers.UnknownNode.selector, address(9)));
        members.revoke(address(9));
    }

    function test_revokeBySig_isRelayedByAnyone() public {
        enrol(member, key);
        Revocation memory given = Revocation(1, vm.addr(key), 0);
        bytes32 hashed = keccak256(abi.encode(TypedData.REVOCATION, given));
        bytes memory wrong = sign(key, hashed);
        vm.expectRevert(abi.encodeWithSelector(IMembers.BadSignature.selector, account(member), vm.addr(key)));
        members.revokeBySig(given, wrong);
        members.revokeBySig(given, sign(accountKey[member], hashed));
        assertEq(members.memberOf(vm.addr(key)), 0);
        given.node = address(9);
        vm.expectRevert(abi.encodeWithSelector(IMembers.UnknownNode.selector, address(9)));
        members.revokeBySig(given, wrong);
    }

    // Announcements and offers

    function test_announce_isForLiveNodeKeys() public {
        enrol(member, key);
        vm.prank(vm.addr(key));
        members.announce("host:2", "cellar");
        assertEq(members.roster(1, 1)[0].nodes[0].endpoint, "host:2");
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, account(member)));
        vm.prank(account(member));
        members.announce("host:3", "");
    }

    function test_publishOffer_isForActiveMembers() public {
        enrol(member, key);
        Offer memory offer = Offer(1, 2, 3, 4, 5, 6, 7);
        vm.expectEmit(address(members));
        emit IMembers.OfferPublished(member, vm.addr(key), offer);
        vm.prank(vm.addr(key));
        members.publishOffer(offer);
        assertEq(abi.encode(members.offerOf(member)), abi.encode(offer));
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        members.publishOffer(offer);
        vm.prank(operator);
        members.suspend(member);
        vm.expectRevert(abi.encodeWithSelector(IPeered.StatusForbids.selector, member, MemberStatus.SUSPENDED));
        vm.prank(vm.addr(key));
        members.publishOffer(offer);
    }

    function test_generation_growsAtEveryChange() public {
        uint64 last = members.generation();
        enrol(member, key);
        assertGt(members.generation(), last);
        last = members.generation();
        vm.prank(vm.addr(key));
        members.announce("host:2", "");
        assertGt(members.generation(), last);
        last = members.generation();
        vm.prank(vm.addr(key));
        members.publishOffer(Offer(1, 2, 3, 4, 5, 6, 7));
        assertGt(members.generation(), last);
        last = members.generation();
        vm.prank(account(member));
        members.revoke(vm.addr(key));
        assertGt(members.generation(), last);
        last = members.generation();
        vm.prank(operator);
        members.suspend(member);
        assertGt(members.generation(), last);
    }

    function test_roster_isPaged() public {
        for (uint256 i = 0; i < 4; ++i) {
            admit();
        }
        assertEq(members.roster(0, 100).length, 5);
        assertEq(members.roster(2, 2).length, 2);
        assertEq(members.roster(2, 2)[0].id, 2);
        assertEq(members.roster(5, 9)[0].id, 5);
        assertEq(members.roster(6, 9).length, 0);
        assertEq(members.roster(1, 0).length, 0);
        assertEq(members.roster(type(uint32).max, type(uint32).max).length, 0);
    }

    function authorityIs(address given, uint32 found, MemberStatus status, uint256 limit) internal view {
        (uint32 actual, MemberStatus shown, uint256 bindable) = members.authority(given);
        assertEq(actual, found);
        assertEq(uint8(shown), uint8(status));
        assertEq(bindable, limit);
    }

    function test_authority_tellsAllAboutAKey() public {
        Enrolment memory given = enrolment(member, key);
        given.spendingLimit = 123;
        send(given);
        authorityIs(vm.addr(key), member, MemberStatus.ACTIVE, 123);
        authorityIs(account(member), member, MemberStatus.ACTIVE, type(uint256).max);
        authorityIs(address(9), 0, MemberStatus.NONE, 0);
        vm.prank(operator);
        members.suspend(member);
        authorityIs(vm.addr(key), member, MemberStatus.SUSPENDED, 123);
        authorityIs(account(member), member, MemberStatus.SUSPENDED, type(uint256).max);
        uint256 second = newKey();
        enrol(member, second);
        authorityIs(vm.addr(second), member, MemberStatus.SUSPENDED, type(uint64).max);
        vm.prank(account(member));
        members.revoke(vm.addr(key));
        authorityIs(vm.addr(key), 0, MemberStatus.NONE, 0);
        vm.prank(operator);
        members.reinstate(member);
        authorityIs(vm.addr(key), 0, MemberStatus.NONE, 0);
        authorityIs(vm.addr(second), member, MemberStatus.ACTIVE, type(uint64).max);
    }

    function test_authority_readsOneWord() public {
        enrol(member, key);
        address given = vm.addr(key);
        vm.record();
        members.authority(given);
        (bytes32[] memory reads,) = vm.accesses(address(members));
        for (uint256 i = 1; i < reads.length; ++i) {
            assertEq(reads[i], reads[0]);
        }
    }

    function test_entityOf_isTheLegalEntitysHash() public {
        assertEq(members.entityOf(member), members.roster(member, 1)[0].legalEntity);
        assertEq(members.entityOf(9), 0);
    }
}
