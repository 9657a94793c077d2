// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAccounts} from "peerage/interfaces/IAccounts.sol";
import {IAgreements} from "peerage/interfaces/IAgreements.sol";
import {IClearing} from "peerage/interfaces/IClearing.sol";
import {IDockets} from "peerage/interfaces/IDockets.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {AgreementState} from "peerage/types/Types.sol";
import {Ledgers} from "./Ledgers.sol";

/// @notice What the other contracts ask Clearing to move.
contract ChargesTest is Ledgers {
    /// @dev 16 epochs' pay for the megabyte on record, and the egress of it.
    uint256 internal constant REPAIR = 16 * PAY + 1;

    function setUp() public override {
        super.setUp();
        // This test plays the contract that takes demands.
        vm.prank(operator);
        directory.set(Kinds.DEMANDS, address(this));
    }

    // Deposits for demands

    function test_reserve_setsCreditsAside() public {
        vm.expectEmit(address(clearing));
        emit IAccounts.Reserved(3, 70);
        clearing.reserve(3, 70);
        assertEq(clearing.balanceOf(3), START_BALANCE - 70);
        assertEq(clearing.reserved(), 70);
        assertConserved();
    }

    function test_refund_givesToWhomItIsDue() public {
        clearing.reserve(CLIENT, 70);
        vm.expectEmit(address(clearing));
        emit IAccounts.Refunded(PROVIDER, 30);
        clearing.refund(PROVIDER, 30);
        clearing.refund(CLIENT, 40);
        assertEq(clearing.reserved(), 0);
        assertEq(clearing.balanceOf(PROVIDER), START_BALANCE - COLLATERAL + 30);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW - 30);
        assertConserved();
    }

    function test_reserve_refusesMoreThanThereIs() public {
        vm.expectRevert(
            abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, 3, START_BALANCE, START_BALANCE + 1)
        );
        clearing.reserve(3, START_BALANCE + 1);
    }

    function test_refund_neverMoreThanWasReserved() public {
        clearing.reserve(3, 70);
        vm.expectRevert();
        clearing.refund(3, 71);
    }

    // More collateral

    function test_top_takesCollateralAndFillsTheEscrow() public {
        pass(3, true);
        settle(); // the escrow is full
        vm.prank(address(amendments));
        vm.expectEmit(address(clearing));
        emit IClearing.Topped(id, 5, 0);
        clearing.top(id, 5);
        assertEq(clearing.collateralOf(id), COLLATERAL + 5);
        assertEq(clearing.escrowOf(id), ESCROW);
        assertConserved();
    }

    function test_top_needsTheProvidersCredits() public {
        uint256 free = START_BALANCE - COLLATERAL;
        vm.prank(address(amendments));
        vm.expectRevert(abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, PROVIDER, free, free + 1));
        clearing.top(id, uint64(free + 1));
    }

    function test_top_needsTheClientsCredits() public {
        pass(1, true);
        drain();
        pass(2, true);
        settle(); // the escrow has paid for an epoch and could not be filled
        uint256 missing = ESCROW - clearing.escrowOf(id);
        assertGt(missing, 0);
        vm.prank(address(amendments));
        vm.expectRevert(abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, CLIENT, 0, missing));
        clearing.top(id, 0);
        deposit(CLIENT, missing);
        vm.prank(address(amendments));
        clearing.top(id, 0);
        assertEq(clearing.escrowOf(id), ESCROW);
        assertConserved();
    }

    // Leaving early

    function test_exit_theProviderPaysForTheRepair() public {
        vm.prank(address(amendments));
        vm.expectEmit(address(clearing));
        emit IClearing.ExitCharged(id, 3, false, REPAIR, 0);
        clearing.chargeExit(id, false);
        assertEq(clearing.collateralOf(id), COLLATERAL - REPAIR);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW + REPAIR);
        assertEq(ledger().compensated, REPAIR);
        assertConserved();
    }

    function test_exit_theProviderPaysOnceOnly() public {
        pass(2, false); // the second miss has compensated the client already
        closeAndSettle();
        vm.prank(address(amendments));
        clearing.chargeExit(id, false);
        assertEq(ledger().compensated, REPAIR);
        assertConserved();
    }

    function test_exit_theClientPaysSomeEpochs() public {
        vm.prank(address(amendments));
        vm.expectEmit(address(clearing));
        emit IClearing.ExitCharged(id, 3, true, 16 * PAY, 0);
        clearing.chargeExit(id, true);
        assertEq(clearing.escrowOf(id), ESCROW);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW - 16 * PAY);
        assertEq(clearing.balanceOf(PROVIDER), START_BALANCE - COLLATERAL + 16 * PAY);
        assertConserved();
    }

    function test_exit_theClientPaysOutOfItsEscrowAtLast() public {
        leave(CLIENT, PAY);
        vm.prank(address(amendments));
        clearing.chargeExit(id, true);
        assertEq(clearing.balanceOf(CLIENT), 0);
        assertEq(clearing.escrowOf(id), ESCROW - 15 * PAY);
        assertConserved();
    }

    function test_exit_refusesAClientThatCannotPay() public {
        drain(); // 16 epochs' pay of 64 MiB, and 8 in escrow
        vm.prank(address(amendments));
        vm.expectRevert(abi.encodeWithSelector(IAccounts.InsufficientBalance.selector, CLIENT, ESCROW, 16 * FULL));
        clearing.chargeExit(id, true);
    }

    // A loss that the provider reports itself

    function test_loss_costsHalfOfTheRepair() public {
        uint256 fee = 7816; // half of 16 * 977 + 1: 64 KiB cost 976.5625 an epoch, rounded up
        vm.prank(address(proofs));
        vm.expectEmit(address(clearing));
        emit IClearing.LossCharged(id, 3, 64, fee);
        clearing.chargeLoss(id, 64);
        assertEq(clearing.collateralOf(id), COLLATERAL - fee);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW + fee);
        assertConserved();
    }

    function test_loss_neverMoreThanTheCollateral() public {
        vm.startPrank(address(proofs));
        for (uint256 i = 0; i < 3; ++i) {
            clearing.chargeLoss(id, 65_536); // half of sixteen credits
        }
        assertEq(clearing.collateralOf(id), 0);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW + COLLATERAL);
        assertConserved();
    }

    // An unanswered demand

    function test_demand_costsAHeavyPenalty() public {
        uint256 penalty = COLLATERAL / 5;
        vm.expectEmit(address(clearing));
        emit IClearing.Penalised(id, 3, REPAIR, penalty - REPAIR, true);
        vm.expectEmit(address(clearing));
        emit IDockets.Contested(id, 0, 3, REPAIR, penalty - REPAIR, 3 + 24);
        clearing.penaliseDemand(id);
        assertEq(clearing.collateralOf(id), COLLATERAL - penalty);
        assertEq(contested(), penalty);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW, "it waits");
        assertConserved();
    }

    function test_demand_takesNothingFromAnAgreementThatIsOver() public {
        markProven(4, 41);
        closeAndSettle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.ENDED));
        clearing.penaliseDemand(id);
        assertEq(clearing.docketsOf(id).length, 0);
        assertConserved();
    }

    // Who may

    function test_attack_strangersMoveNothing() public {
        vm.startPrank(account(3));
        vm.expectRevert(abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.DEMANDS, account(3)));
        clearing.reserve(CLIENT, 1);
        vm.expectRevert(abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.DEMANDS, account(3)));
        clearing.refund(3, 1);
        vm.expectRevert(abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.DEMANDS, account(3)));
        clearing.penaliseDemand(id);
        vm.expectRevert(abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.AMENDMENTS, account(3)));
        clearing.top(id, 1);
        vm.expectRevert(abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.AMENDMENTS, account(3)));
        clearing.chargeExit(id, false);
        vm.expectRevert(abi.encodeWithSelector(IPeered.OnlyContract.selector, Kinds.PROOFS, account(3)));
        clearing.chargeLoss(id, 1);
        vm.expectRevert(abi.encodeWithSelector(IAccounts.NotTheSuccessor.selector, account(3)));
        clearing.handOver();
    }

    function test_depositFor_refusesMoreThanLedgersHold() public {
        uint256 room = type(uint80).max - clearing.total();
        vm.startPrank(operator);
        credit.mint(operator, room + 1);
        credit.approve(address(clearing), room + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IAccounts.TooMuch.selector, uint256(type(uint80).max) + 1, type(uint80).max)
        );
        clearing.depositFor(3, room + 1);
        clearing.depositFor(3, room);
    }
}
