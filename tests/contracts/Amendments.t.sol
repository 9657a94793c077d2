// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Amendments} from "peerage/Amendments.sol";
import {AgreementView, IAgreements, Signers} from "peerage/interfaces/IAgreements.sol";
import {IAmendments} from "peerage/interfaces/IAmendments.sol";
import {IAccounts} from "peerage/interfaces/IAccounts.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {TypedData} from "peerage/libraries/TypedData.sol";
import {AgreementState, Amendment, Enrolment, MemberStatus, Offer} from "peerage/types/Types.sol";
import {Ledgers} from "./Ledgers.sol";

/// @notice Growth, renewal, other prices, early ends by both sides or one. The agreement: 64 MiB, 2 to 42, one credit an epoch.
contract AmendmentsTest is Ledgers {
    function setUp() public override {
        super.setUp();
        toSecondHalf();
    }

    function proposal() internal view returns (Amendment memory) {
        AgreementView memory shown = agreements.get(id);
        return Amendment({
            version: 1,
            agreement: id,
            number: shown.amendments + 1,
            capacity: shown.terms.capacity,
            pricePerGibEpoch: shown.terms.pricePerGibEpoch,
            egressPricePerGib: shown.terms.egressPricePerGib,
            collateral: shown.terms.collateral,
            minRetentionEpochs: shown.terms.minRetentionEpochs,
            endEpoch: shown.terms.endEpoch,
            expires: agreements.currentEpoch(),
            extension: 0
        });
    }

    function signed(uint256 key, Amendment memory amendment) internal view returns (bytes memory) {
        return sign(key, keccak256(abi.encode(TypedData.AMENDMENT, amendment)));
    }

    function amend(Amendment memory amendment) internal {
        amendments.amend(amendment, signed(nodeKey[CLIENT], amendment), signed(nodeKey[PROVIDER], amendment));
        assertConserved();
    }

    function expectRefusal(Amendment memory amendment, bytes memory expected) internal {
        bytes memory ours = signed(nodeKey[CLIENT], amendment);
        bytes memory theirs = signed(nodeKey[PROVIDER], amendment);
        vm.expectRevert(expected);
        amendments.amend(amendment, ours, theirs);
    }

    function test_amend_grows() public {
        Amendment memory amendment = proposal();
        amendment.capacity = 128 * MIB;
        amendment.collateral += 5;
        vm.expectEmit(address(amendments));
        emit IAmendments.Amended(id, 1, amendment, node(CLIENT), node(PROVIDER), 3);
        amend(amendment);
        assertEq(agreements.get(id).terms.capacity, 128 * MIB);
        assertEq(agreements.get(id).amendments, 1);
        assertEq(agreements.promised(PROVIDER), 128 * MIB);
        assertEq(clearing.escrowOf(id), 2 * ESCROW);
        assertEq(clearing.collateralOf(id), COLLATERAL + 5);
        revise(id, 128 * 1024);
        assertEq(agreements.get(id).leaves, 128 * 1024);
    }

    function test_amend_renewsWithoutMovingData() public {
        pass(36, true);
        Amendment memory amendment = proposal();
        amendment.endEpoch = 100;
        bytes32 revision = agreements.revisionDigest(id);
        toSecondHalf();
        amend(amendment);
        assertEq(agreements.revisionDigest(id), revision);
        pass(20, true);
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ACTIVE));
        assertEq(clearing.ledgerOf(id).paid, 55 * PAY);
    }

    /// @dev What was done before is paid by the old price, what comes after by the new one.
    function test_amend_changesThePriceFromTheNextEpochOn() public {
        pass(4, true); // 4 to 7
        toSecondHalf();
        Amendment memory amendment = proposal();
        amendment.pricePerGibEpoch *= 2;
        amend(amendment);
        assertEq(clearing.ledgerOf(id).paid, 3 * PAY);
        pass(2, true);
        settle();
        assertEq(clearing.ledgerOf(id).paid, 3 * PAY + 2 * 2 * PAY);
    }

    function test_amend_endsEarly() public {
        Amendment memory amendment = proposal();
        amendment.minRetentionEpochs = 3;
        amendment.endEpoch = 5;
        expectRefusal(amendment, abi.encodeWithSelector(IAmendments.EndTooSoon.selector, id, 6, 5));
        amendment.endEpoch = 6;
        amend(amendment);
        pass(4, true);
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
        assertEq(agreements.boundBy(node(CLIENT)), 2 * PAY);
        assertEq(agreements.liveOf(CLIENT), 0);
    }

    function test_amend_neverEndsInThePast() public {
        Amendment memory amendment = proposal();
        amendment.endEpoch = 3;
        expectRefusal(amendment, abi.encodeWithSelector(IAmendments.EndTooSoon.selector, id, 4, 3));
    }

    function test_attack_amendmentsAreRecordedOnceAndInOrder() public {
        Amendment memory amendment = proposal();
        amendment.endEpoch = 50;
        amend(amendment);
        expectRefusal(amendment, abi.encodeWithSelector(IAmendments.WrongNumber.selector, id, 2, 1));
        amendment = proposal();
        nextEpoch();
        expectRefusal(amendment, abi.encodeWithSelector(IAmendments.AmendmentExpired.selector, id, 3, 4));
    }

    function test_amend_lowersNothingThatProtects() public {
        bytes memory refused = abi.encodeWithSelector(IAmendments.Lowers.selector, id, 64 * MIB, COLLATERAL, 0);
        Amendment memory amendment = proposal();
        amendment.capacity -= 1;
        expectRefusal(amendment, refused);
        amendment = proposal();
        amendment.collateral -= 1;
        expectRefusal(amendment, refused);
        amendment = proposal();
        amendment.minRetentionEpochs = 7;
        amend(amendment);
        amendment = proposal();
        amendment.minRetentionEpochs = 6;
        expectRefusal(amendment, abi.encodeWithSelector(IAmendments.Lowers.selector, id, 64 * MIB, COLLATERAL, 7));
    }

    function test_amend_refusesBadOnes() public {
        Amendment memory amendment = proposal();
        amendment.version = 2;
        expectRefusal(amendment, abi.encodeWithSelector(IPeered.UnsupportedVersion.selector, 2));
        amendment = proposal();
        amendment.extension = "x";
        expectRefusal(amendment, abi.encodeWithSelector(IPeered.UnsupportedExtension.selector, bytes32("x")));
        amendment = proposal();
        amendment.agreement = "no";
        expectRefusal(amendment, abi.encodeWithSelector(IAgreements.UnknownAgreement.selector, bytes32("no")));
        amendment = proposal();
        amendment.capacity = 1 << 50;
        expectRefusal(amendment, abi.encodeWithSelector(IAgreements.TooLarge.selector, 1 << 50, (1 << 50) - 1));
        amendment.capacity = 2 * GIB;
        expectRefusal(
            amendment,
            abi.encodeWithSelector(IAgreements.OverOffer.selector, PROVIDER, 2 * GIB - 64 * MIB, GIB - 64 * MIB)
        );
        amendment = proposal();
        amendment.pricePerGibEpoch = type(uint64).max;
        amendment.endEpoch = type(uint32).max;
        bytes memory ours = signed(nodeKey[CLIENT], amendment);
        bytes memory theirs = signed(nodeKey[PROVIDER], amendment);
        vm.expectPartialRevert(IAgreements.CostOutOfRange.selector);
        amendments.amend(amendment, ours, theirs);
    }

    function test_amend_needsBothSides() public {
        Amendment memory amendment = proposal();
        bytes memory ours = signed(nodeKey[CLIENT], amendment);
        bytes memory theirs = signed(nodeKey[PROVIDER], amendment);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSigner.selector, PROVIDER, node(CLIENT)));
        amendments.amend(amendment, ours, ours);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.WrongSigner.selector, CLIENT, node(PROVIDER)));
        amendments.amend(amendment, theirs, theirs);
    }

    function test_amend_needsTheMoney() public {
        leave(CLIENT, 0);
        Amendment memory amendment = proposal();
        amendment.capacity = 128 * MIB;
        expectRefusal(amendment, abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, CLIENT, 0, ESCROW));
        amendment = proposal();
        amendment.collateral += 1;
        leave(PROVIDER, 0);
        expectRefusal(amendment, abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, PROVIDER, 0, 1));
    }

    /// @dev A member that leaves keeps what it promised and promises no more; it may still end sooner.
    function test_amend_aLeavingMemberPromisesNothingNew() public {
        vm.prank(account(PROVIDER));
        members.leave();
        Amendment memory amendment = proposal();
        amendment.endEpoch += 1;
        expectRefusal(amendment, abi.encodeWithSelector(IPeered.StatusForbids.selector, PROVIDER, MemberStatus.LEAVING));
        amendment.endEpoch -= 10;
        amend(amendment);
        vm.prank(operator);
        members.suspend(PROVIDER);
        expectRefusal(
            proposal(), abi.encodeWithSelector(IPeered.StatusForbids.selector, PROVIDER, MemberStatus.SUSPENDED)
        );
    }

    function test_amend_isForAgreementsInForce() public {
        toEpoch(43);
        beatAll();
        toSecondHalf();
        expectRefusal(proposal(), abi.encodeWithSelector(IAgreements.NotInForce.selector, id, AgreementState.ENDED));
    }

    /// @dev The former key keeps what it spent; the one that signs is bound by what is to come.
    function test_amend_theSigningKeysTakeTheBindingsOver() public {
        assertEq(agreements.boundBy(node(CLIENT)), 40 * FULL);
        pass(4, true);
        toSecondHalf();
        address old = node(CLIENT);
        uint256 limited = newKey();
        Enrolment memory given = enrolment(CLIENT, limited);
        given.spendingLimit = uint64(35 * FULL);
        members.enrol(given, "certificate", "host:1", "site", signEnrolment(accountKey[CLIENT], given));
        nodeKey[CLIENT] = limited;
        Amendment memory amendment = proposal();
        amendment.endEpoch += 1;
        expectRefusal(
            amendment,
            abi.encodeWithSelector(IAgreements.OverSpendingLimit.selector, vm.addr(limited), 36 * FULL, 35 * FULL)
        );
        amendment.endEpoch -= 1;
        amend(amendment);
        assertEq(agreements.boundBy(old), 3 * PAY);
        assertEq(agreements.boundBy(vm.addr(limited)), 35 * FULL);
        pass(40, true);
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
        assertEq(agreements.boundBy(vm.addr(limited)), 35 * PAY);
        assertEq(agreements.boundBy(node(PROVIDER)), 0);
    }

    function test_attack_strangersRewriteNothing() public {
        Signers memory by = Signers(node(3), 0, node(3), 0, 0, 0, 0);
        Amendment memory amendment = proposal();
        bytes memory refused = abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.AMENDMENTS, account(3));
        vm.startPrank(account(3));
        vm.expectRevert(refused);
        agreements.rewrite(amendment, by);
        vm.expectRevert(refused);
        agreements.shorten(id, 4);
        vm.stopPrank();
    }

    // Leaving an agreement

    function test_exit_byTheClient() public {
        toEpoch(4);
        beatAll();
        Amendment memory amendment = proposal();
        amendment.endEpoch = 200;
        toSecondHalf();
        amend(amendment);
        uint256 before = clearing.balanceOf(PROVIDER);
        vm.expectEmit(address(amendments));
        emit IAmendments.Exited(id, CLIENT, true, 4 + 32);
        vm.prank(account(CLIENT));
        amendments.exit(id);
        assertEq(agreements.get(id).terms.endEpoch, 36);
        assertEq(clearing.balanceOf(PROVIDER) - before, 16 * PAY);
        assertConserved();
        pass(32, true);
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
        assertConserved();
    }

    function test_exit_byTheProvider() public {
        uint256 before = clearing.balanceOf(CLIENT);
        vm.prank(account(PROVIDER));
        amendments.exit(id);
        assertEq(agreements.get(id).terms.endEpoch, 3 + 32);
        assertGt(clearing.balanceOf(CLIENT), before);
        assertLt(clearing.collateralOf(id), COLLATERAL);
        // The key stays bound by what it signed.
        assertEq(agreements.boundBy(node(CLIENT)), 40 * FULL);
        pass(32, true);
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
        assertEq(agreements.boundBy(node(CLIENT)), clearing.ledgerOf(id).paid);
        assertConserved();
    }

    /// @dev A client that leaves gives what it promised to keep the data for, at least.
    function test_exit_theClientKeepsTheMinimumRetention() public {
        Amendment memory amendment = proposal();
        amendment.minRetentionEpochs = 36;
        amend(amendment);
        vm.prank(account(CLIENT));
        amendments.exit(id);
        assertEq(agreements.get(id).terms.endEpoch, 3 + 36);
    }

    function test_exit_onlyOnce() public {
        vm.startPrank(account(CLIENT));
        amendments.exit(id);
        vm.expectRevert(abi.encodeWithSelector(IAmendments.ExitTooLate.selector, id, 35, 35));
        amendments.exit(id);
        vm.stopPrank();
    }

    function test_attack_aStolenNodeKeyEndsNothing() public {
        for (uint32 member = 1; member <= 3; ++member) {
            vm.expectRevert(abi.encodeWithSelector(IAmendments.NotAParty.selector, id, node(member)));
            vm.prank(node(member));
            amendments.exit(id);
        }
        vm.expectRevert(abi.encodeWithSelector(IAmendments.NotAParty.selector, id, account(3)));
        vm.prank(account(3));
        amendments.exit(id);
    }

    function test_exit_onlyInForce() public {
        vm.expectRevert(abi.encodeWithSelector(IAgreements.UnknownAgreement.selector, bytes32("no")));
        amendments.exit("no");
        toEpoch(43);
        beatAll();
        toSecondHalf();
        vm.expectRevert(abi.encodeWithSelector(IAgreements.NotInForce.selector, id, AgreementState.ENDED));
        vm.prank(account(CLIENT));
        amendments.exit(id);
    }

    function test_superseded_neitherAmendsNorExits() public {
        Amendment memory amendment = proposal();
        address successor = address(new Amendments(directory));
        vm.prank(operator);
        directory.set(Kinds.AMENDMENTS, successor);
        bytes memory refused = abi.encodeWithSelector(IPeered.Superseded.selector, Kinds.AMENDMENTS, successor);
        vm.expectRevert(refused);
        amendments.amend(amendment, "", "");
        vm.expectRevert(refused);
        amendments.exit(id);
    }
}
