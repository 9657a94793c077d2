// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementView, IAgreements} from "peerage/interfaces/IAgreements.sol";
import {IAccounts} from "peerage/interfaces/IAccounts.sol";
import {IClearing} from "peerage/interfaces/IClearing.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {AgreementState, Revision, Terms} from "peerage/types/Types.sol";
import {Ledgers} from "./Ledgers.sol";

contract ClearingTest is Ledgers {
    // Accounts

    function test_depositFor_pullsCredits() public {
        vm.startPrank(operator);
        credit.mint(operator, 5);
        credit.approve(address(clearing), 5);
        vm.expectEmit(address(clearing));
        emit IAccounts.Deposited(3, operator, 5);
        clearing.depositFor(3, 5);
        vm.stopPrank();
        assertEq(clearing.balanceOf(3), START_BALANCE + 5);
        assertConserved();
    }

    function test_depositFor_refusesAnUnknownMember() public {
        vm.expectRevert(abi.encodeWithSelector(IAccounts.UnknownMember.selector, 9));
        clearing.depositFor(9, 1);
    }

    function test_withdraw_sendsToTheAccountsChoice() public {
        address payee = makeAddr("payee");
        vm.expectEmit(address(clearing));
        emit IAccounts.Withdrawn(3, payee, 7);
        vm.prank(account(3));
        clearing.withdraw(7, payee);
        assertEq(credit.balanceOf(payee), 7);
        assertConserved();
    }

    function test_withdraw_worksWhileSuspended() public {
        vm.prank(operator);
        members.suspend(3);
        vm.prank(account(3));
        clearing.withdraw(START_BALANCE, account(3));
        assertEq(clearing.balanceOf(3), 0);
    }

    function test_withdraw_refusesANodeKey() public {
        vm.expectRevert(abi.encodeWithSelector(IAccounts.NotAnAccount.selector, node(3)));
        vm.prank(node(3));
        clearing.withdraw(1, node(3));
    }

    function test_withdraw_refusesMoreThanTheBalance() public {
        vm.expectRevert(
            abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, 3, START_BALANCE, START_BALANCE + 1)
        );
        vm.prank(account(3));
        clearing.withdraw(START_BALANCE + 1, account(3));
    }

    function test_withdraw_refusesRecipientsThatWouldLoseIt() public {
        vm.startPrank(account(3));
        vm.expectRevert(abi.encodeWithSelector(IAccounts.BadRecipient.selector, address(clearing)));
        clearing.withdraw(1, address(clearing));
        vm.expectRevert(abi.encodeWithSelector(IAccounts.BadRecipient.selector, address(0)));
        clearing.withdraw(1, address(0));
        vm.stopPrank();
    }

    function test_hold_isForAgreementsOnly() public {
        Terms memory terms = termsFor(1, 2);
        vm.expectRevert(abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.AGREEMENTS, address(this)));
        clearing.hold(id, terms);
    }

    function test_open_holdsEscrowAndCollateral() public view {
        assertEq(clearing.escrowOf(id), ESCROW);
        assertEq(clearing.collateralOf(id), COLLATERAL);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW);
        assertEq(clearing.balanceOf(PROVIDER), START_BALANCE - COLLATERAL);
        assertConserved();
    }

    // Settlement

    function test_settle_paysProvenEpochs() public {
        pass(5, true); // 4 to 8
        toSecondHalf();
        vm.expectEmit(address(clearing));
        emit IClearing.Settled(id, 2, 8, 4, 0, 0, 0, 4 * PAY, 4 * PAY);
        clearing.settle(id);
        assertEq(clearing.balanceOf(PROVIDER), START_BALANCE - COLLATERAL + 4 * PAY);
        assertEq(ledger().paid, 4 * PAY);
        assertEq(agreements.get(id).settledThrough, 7);
        assertConserved();
    }

    function test_settle_fillsTheEscrowAgain() public {
        pass(5, true);
        settle();
        assertEq(clearing.escrowOf(id), ESCROW);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW - 4 * PAY);
    }

    function test_settle_inTheFirstHalfLeavesTheLastEpochOpen() public {
        pass(2, true); // now in 5, its beats open: 4 is not closed
        clearing.settle(id);
        assertEq(agreements.get(id).settledThrough, 3);
        assertEq(clearing.lastClosedEpoch(), 3);
        toSecondHalf();
        assertEq(clearing.lastClosedEpoch(), 4);
        clearing.settle(id);
        assertEq(agreements.get(id).settledThrough, 4);
        assertEq(ledger().paid, PAY);
    }

    function test_settle_twiceChangesNothing() public {
        pass(3, true);
        settle();
        bytes32 before = keccak256(abi.encode(ledger(), clearing.balanceOf(CLIENT), clearing.balanceOf(PROVIDER)));
        vm.recordLogs();
        clearing.settle(id);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(keccak256(abi.encode(ledger(), clearing.balanceOf(CLIENT), clearing.balanceOf(PROVIDER))), before);
    }

    function test_settleMany_settlesEach() public {
        bytes32 second = openBetween(3, PROVIDER);
        revise(second, LEAVES);
        for (uint256 i = 0; i < 4; ++i) {
            pass(true); // 4 to 7
            setProven(second, beacon.currentEpoch());
        }
        bytes32[] memory ids = new bytes32[](3);
        (ids[0], ids[1], ids[2]) = (id, second, id); // naming one twice changes nothing
        toSecondHalf();
        clearing.settleMany(ids);
        assertEq(clearing.ledgerOf(id).paid, 3 * PAY);
        // The second was revised in 3, so 5 is the first epoch that is about it.
        assertEq(clearing.ledgerOf(second).paid, 2 * PAY);
    }

    function test_lastClosedEpoch_atGenesis() public {
        toEpoch(0);
        assertEq(clearing.lastClosedEpoch(), 0);
        toSecondHalf();
        assertEq(clearing.lastClosedEpoch(), 0);
    }

    function test_settle_ofAnUnknownAgreementDoesNothing() public {
        vm.recordLogs();
        clearing.settle("no");
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_settle_theSameWhateverTheSteps() public {
        uint256 snapshot = vm.snapshotState();
        bool[8] memory proving = [true, false, true, true, false, false, true, true];
        for (uint256 i = 0; i < 8; ++i) {
            pass(proving[i]);
        }
        closeAndSettle();
        bytes32 lazily = keccak256(abi.encode(ledger(), clearing.balanceOf(CLIENT), clearing.balanceOf(PROVIDER)));
        vm.revertToState(snapshot);
        for (uint256 i = 0; i < 8; ++i) {
            pass(proving[i]);
            settle();
        }
        closeAndSettle();
        assertEq(keccak256(abi.encode(ledger(), clearing.balanceOf(CLIENT), clearing.balanceOf(PROVIDER))), lazily);
    }

    function test_settle_aGrowingRevisionPaysFromWhenItIsFrozen() public {
        pass(true); // 4
        revise(id, 2 * LEAVES);
        pass(3, true); // 5, 6, 7; from 6 on over the new revision
        closeAndSettle();
        assertEq(ledger().paid, 2 * PAY + 2 * 2 * PAY);
    }

    function test_settle_coversAtMost4096EpochsACall() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.endEpoch = terms.startEpoch + 10_000;
        bytes32 long = open(terms);
        toEpoch(5000);
        toSecondHalf();
        clearing.settle(long);
        assertEq(agreements.get(long).settledThrough, 3 + 4095);
        clearing.settle(long);
        assertEq(agreements.get(long).settledThrough, 4999);
    }

    // Misses

    function test_firstMiss_costsThePayOnly() public {
        pass(true);
        pass(false); // 5
        nextEpoch();
        beatAll();
        toSecondHalf();
        vm.expectEmit(address(clearing));
        emit IClearing.Missed(id, 5, 1);
        clearing.settle(id);
        assertEq(ledger().paid, PAY);
        assertEq(ledger().misses, 1);
        assertEq(clearing.collateralOf(id), COLLATERAL);
    }

    function test_secondMiss_costsFivePercent() public {
        pass(2, false); // 4, 5
        nextEpoch();
        beatAll();
        toSecondHalf();
        // To the client: 16 epochs' pay and the egress of 1 MiB; the rest is burned.
        uint256 repair = 16 * PAY + 1;
        uint256 penalty = COLLATERAL * 5 / 100;
        vm.expectEmit(address(clearing));
        emit IClearing.Penalised(id, 5, repair, penalty - repair, false);
        clearing.settle(id);
        assertEq(clearing.collateralOf(id), COLLATERAL - penalty);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW + repair);
        assertEq(ledger().compensated, repair);
        assertEq(ledger().burned, penalty - repair);
        assertConserved();
    }

    function test_furtherMisses_compensateTheClientOnlyOnce() public {
        pass(3, false);
        closeAndSettle();
        assertEq(ledger().compensated, 16 * PAY + 1);
        assertEq(clearing.collateralOf(id), COLLATERAL * 85 / 100);
        assertConserved();
    }

    function test_sixMisses_failTheAgreement() public {
        pass(7, false); // 4 to 10; the sixth is 9
        nextEpoch();
        beatAll();
        toSecondHalf();
        vm.expectEmit(address(agreements));
        emit IAgreements.StateChanged(id, AgreementState.ACTIVE, AgreementState.FAILED);
        clearing.settle(id);
        AgreementView memory shown = agreements.get(id);
        assertEq(uint8(shown.state), uint8(AgreementState.FAILED));
        assertEq(shown.settledThrough, 9);
        assertEq(shown.misses, 6);
        assertEq(shown.escrow, 0);
        assertEq(shown.collateral, 0);
        // 5 + 10 + 20 + 20 + 20 percent are gone, the last three into a docket; the rest goes back.
        assertEq(clearing.balanceOf(PROVIDER), START_BALANCE - COLLATERAL * 75 / 100);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE + 16 * PAY + 1);
        assertEq(agreements.promised(PROVIDER), 0);
        assertConserved();
    }

    function test_missesOutsideTheWindowAreForgotten() public {
        pass(2, false); // 4, 5
        pass(15, true); // 6 to 20: the window of 16 has forgotten 4, and 5 goes next
        closeAndSettle(); // 21 missed
        assertEq(ledger().recentMisses, 1);
        assertEq(ledger().misses, 2);
        nextEpoch();
        beatAll();
        settle();
        assertEq(ledger().recentMisses, 1, "only the miss in 21");
        assertEq(ledger().misses, 3);
    }

    function test_noLeavesNoMissNoPay() public {
        bytes32 empty = openBetween(CLIENT, 3);
        pass(6, false);
        toSecondHalf();
        clearing.settle(empty);
        assertEq(clearing.ledgerOf(empty).misses, 0);
        assertEq(clearing.ledgerOf(empty).paid, 0);
        assertEq(clearing.ledgerOf(empty).nextEpoch, 9);
    }

    // Void epochs

    function test_voidEpoch_payIsEarnedByTheNextProof() public {
        pass(true); // 4
        nextEpoch(); // 5: nobody beats; no quorum, and no seed for 6
        nextEpoch(); // 6
        beatAll();
        pass(true); // 7
        closeAndSettle();
        assertEq(ledger().paid, 4 * PAY);
        assertEq(ledger().deferred, 0);
        assertEq(ledger().misses, 0);
    }

    function test_voidEpoch_isNotPaidToOneWhoLostEverything() public {
        pass(true); // 4
        nextEpoch(); // 5 void
        nextEpoch(); // 6 void
        beatAll();
        pass(false); // 7 missed
        closeAndSettle();
        assertEq(ledger().paid, PAY);
        assertEq(ledger().deferred, 2 * PAY);
        assertEq(ledger().misses, 1);
    }

    function test_chainStopsInMidEpoch_nobodyIsPunished() public {
        nextEpoch(); // 4: beats are in, then the chain stops before the proofs
        beatAll();
        toEpoch(7);
        beatAll();
        pass(true); // 8
        closeAndSettle();
        assertEq(ledger().misses, 0);
        assertEq(ledger().paid, 5 * PAY, "4 to 8");
    }

    /// @dev What is about an epoch at the edge of a word stands in the words beside it.
    function test_settle_acrossTheEdgesOfWords() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.endEpoch = terms.startEpoch + 600;
        id = open(terms);
        revise(id, LEAVES);
        markProven(254, 258);
        toEpoch(509);
        beatAll();
        markProven(510, 510);
        pass(false); // 511: beats, and no proof; the chain stops
        toEpoch(514);
        beatAll();
        settle();
        assertEq(ledger().paid, (510 - 4) * PAY, "5 to 510: the last two proofs earn what was void before");
        assertEq(ledger().misses, 0);
        assertEq(ledger().deferred, 3 * PAY, "511 to 513");
    }

    // Escrow, grace, lapse, end

    function test_emptyEscrow_beginsAGracePeriod() public {
        drain(); // recorded in 3: full price from 5 on
        markProven(4, 14);
        uint32 epoch = beacon.currentEpoch();
        toSecondHalf();
        vm.expectEmit(address(clearing));
        emit IClearing.EscrowEmpty(id, 12, epoch + 4);
        clearing.settle(id);
        // 4 cost one PAY; with what is left seven more epochs are whole.
        assertEq(uint8(stateOf(id)), uint8(AgreementState.GRACE));
        assertEq(ledger().paid, PAY + 7 * FULL);
        assertEq(agreements.get(id).settledThrough, 11);
        assertConserved();
    }

    function test_grace_endsWhenTheClientPays() public {
        drain();
        markProven(4, 14);
        settle();
        deposit(CLIENT, 20 * FULL);
        vm.expectEmit(address(agreements));
        emit IAgreements.StateChanged(id, AgreementState.GRACE, AgreementState.ACTIVE);
        clearing.settle(id);
        assertEq(ledger().paid, PAY + 9 * FULL, "what the provider proved in grace is paid");
        assertEq(ledger().graceUntil, 0);
        assertEq(clearing.escrowOf(id), ESCROW);
        assertConserved();
    }

    function test_grace_isNotProlongedByPayingAPart() public {
        drain();
        markProven(4, 14);
        settle();
        uint32 until = ledger().graceUntil;
        deposit(CLIENT, FULL);
        clearing.settle(id);
        assertEq(uint8(stateOf(id)), uint8(AgreementState.GRACE));
        assertEq(ledger().graceUntil, until);
        assertEq(agreements.get(id).settledThrough, 12);
    }

    function test_grace_endsOnlyWhenAllOfALongBacklogIsPaid() public {
        Terms memory terms = termsFor(CLIENT, PROVIDER);
        terms.endEpoch = terms.startEpoch + 10_000;
        id = open(terms);
        drain();
        markProven(5, 14);
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.GRACE));
        deposit(CLIENT, 400 * FULL);
        toEpoch(4200); // the chain stopped for long
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.GRACE));
        clearing.settle(id);
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ACTIVE));
        assertEq(ledger().paid, 10 * FULL, "5 to 14");
        assertEq(ledger().deferred, (4199 - 14) * FULL);
    }

    function test_grace_refusesRevisions() public {
        drain();
        markProven(4, 14);
        settle();
        Revision memory revision = nextRevision(id, 65_536);
        vm.expectRevert(abi.encodeWithSelector(IAgreements.NotInForce.selector, id, AgreementState.GRACE));
        agreements.revise(revision, "", "");
    }

    function test_lapse_afterTheGracePeriod() public {
        drain();
        markProven(4, 14);
        settle();
        markProven(15, 18);
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.GRACE), "the last epoch to pay in");
        markProven(19, 19);
        vm.expectEmit(address(agreements));
        emit IAgreements.StateChanged(id, AgreementState.GRACE, AgreementState.LAPSED);
        clearing.settle(id);
        // What was left of the escrow went to the provider, with its collateral.
        assertEq(clearing.balanceOf(PROVIDER), START_BALANCE + ESCROW);
        assertEq(clearing.balanceOf(CLIENT), 0);
        assertEq(agreements.promised(PROVIDER), 0);
        assertConserved();
    }

    function test_lapse_waitsForIncomeThatIsNotSettledYet() public {
        // The client is itself a provider; its income settles during the grace period, and the agreement lives on.
        bytes32 income = openBetween(3, CLIENT);
        revise(income, 65_536);
        drain();
        for (uint256 epoch = 4; epoch <= 19; ++epoch) {
            toEpoch(epoch);
            beatAll();
            setProven(id, epoch);
            setProven(income, epoch);
        }
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.GRACE));
        clearing.settle(income);
        clearing.settle(id);
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ACTIVE));
    }

    function test_end_releasesEverything() public {
        markProven(4, 41);
        closeAndSettle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
        assertEq(clearing.escrowOf(id), 0);
        assertEq(clearing.collateralOf(id), 0);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - 38 * PAY);
        assertEq(clearing.balanceOf(PROVIDER), START_BALANCE + 38 * PAY);
        assertEq(agreements.boundBy(node(PROVIDER)), 0);
        assertEq(agreements.boundBy(node(CLIENT)), 38 * PAY);
        assertConserved();
    }

    function test_end_notBeforeTheLastEpochIsClosed() public {
        markProven(4, 41);
        nextEpoch(); // 42, the first after the term
        clearing.settle(id);
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ACTIVE));
        beatAll();
        settle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
        clearing.settle(id); // nothing left to do
    }

    function test_afterTheEnd_nothingIsDue() public {
        markProven(4, 42);
        (bool due,,,,,) = proofs.challenge(id, 42);
        assertFalse(due);
    }

    function test_transit_isForClearingOnly() public {
        vm.expectRevert(abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.CLEARING, address(this)));
        agreements.transit(id, AgreementState.ENDED, 0, 0);
    }

    function test_penaltyPercent_grows() public view {
        uint8[6] memory expected = [0, 0, 5, 10, 20, 20];
        for (uint256 n = 0; n < 6; ++n) {
            assertEq(clearing.penaltyPercent(n), expected[n]);
        }
    }
}
