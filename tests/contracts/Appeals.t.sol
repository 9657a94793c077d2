// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DocketState, IDockets} from "peerage/interfaces/IDockets.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {AgreementState} from "peerage/types/Types.sol";
import {Ledgers} from "./Ledgers.sol";

/// @notice Heavy penalties: contested, appealed against, decided on, concluded.
contract AppealsTest is Ledgers {
    uint256 internal constant REPAIR = 16 * PAY + 1;
    uint32 internal constant APPEAL = 24;
    uint32 internal constant DECIDE = 72;

    /// @dev Four misses: 5 and 10 percent at once, 20 percent into a docket.
    function setUp() public override {
        super.setUp();
        pass(4, false);
        closeAndSettle();
        assertEq(ledger().misses, 4);
    }

    function appeal(string memory reason) internal {
        vm.prank(node(PROVIDER));
        clearing.appeal(id, 0, reason);
    }

    function decide(bool cancelled) internal {
        vm.prank(operator);
        clearing.decide(id, 0, cancelled);
    }

    function wait(uint256 epochs) internal {
        toEpoch(beacon.currentEpoch() + epochs);
    }

    function docketState() internal view returns (DocketState) {
        return clearing.docketOf(id, 0).state;
    }

    function test_heavyPenaltyWaits() public view {
        assertEq(clearing.collateralOf(id), COLLATERAL * 65 / 100);
        assertEq(contested(), COLLATERAL / 5);
        assertEq(clearing.docketOf(id, 0).toClient, 0, "compensated by the lighter ones");
        assertEq(clearing.docketOf(id, 0).appealUntil, 8 + APPEAL);
        assertEq(clearing.balanceOf(CLIENT), START_BALANCE - ESCROW + REPAIR);
        assertConserved();
    }

    function test_withoutAnAppealItStands() public {
        wait(APPEAL);
        vm.expectRevert(abi.encodeWithSelector(IDockets.StillContested.selector, id, 0, 8 + APPEAL, 8 + APPEAL));
        clearing.conclude(id, 0);
        wait(1);
        uint256 supply = credit.totalSupply();
        vm.expectEmit(address(clearing));
        emit IDockets.Concluded(id, 0, false, false, 0, COLLATERAL / 5);
        clearing.conclude(id, 0);
        assertEq(credit.totalSupply(), supply - COLLATERAL / 5);
        assertEq(uint8(docketState()), uint8(DocketState.STANDS));
        assertConserved();
    }

    function test_cancelledItGoesBackToTheCollateral() public {
        vm.prank(account(PROVIDER));
        vm.expectEmit(address(clearing));
        emit IDockets.Appealed(id, 0, PROVIDER, "the exchange was flooded", 8 + DECIDE);
        clearing.appeal(id, 0, "the exchange was flooded");
        decide(true);
        assertEq(clearing.collateralOf(id), COLLATERAL * 85 / 100);
        assertEq(ledger().burned + ledger().compensated, COLLATERAL * 15 / 100);
        assertEq(uint8(docketState()), uint8(DocketState.CANCELLED));
        assertConserved();
    }

    function test_upheldItStandsAtOnce() public {
        appeal("");
        vm.expectEmit(address(clearing));
        emit IDockets.Concluded(id, 0, false, true, 0, COLLATERAL / 5);
        decide(false);
        assertEq(uint8(docketState()), uint8(DocketState.STANDS));
        assertConserved();
    }

    function test_silentConsortiumLetsItStand() public {
        wait(APPEAL);
        appeal("we were attacked");
        wait(DECIDE);
        vm.expectRevert(
            abi.encodeWithSelector(IDockets.StillContested.selector, id, 0, 8 + APPEAL + DECIDE, 8 + APPEAL + DECIDE)
        );
        clearing.conclude(id, 0);
        wait(1);
        vm.prank(operator);
        vm.expectRevert(
            abi.encodeWithSelector(IDockets.DecisionTooLate.selector, id, 0, 8 + APPEAL + DECIDE, 9 + APPEAL + DECIDE)
        );
        clearing.decide(id, 0, true);
        wait(1000); // however late
        vm.prank(account(3));
        clearing.conclude(id, 0);
        assertEq(uint8(docketState()), uint8(DocketState.STANDS));
        assertConserved();
    }

    function test_appeal_refusesOthersAndLateOnes() public {
        vm.prank(node(CLIENT));
        vm.expectRevert(abi.encodeWithSelector(IDockets.NotTheProvider.selector, id, CLIENT));
        clearing.appeal(id, 0, "");
        vm.startPrank(node(PROVIDER));
        vm.expectRevert(abi.encodeWithSelector(IDockets.NoDocket.selector, id, 1));
        clearing.appeal(id, 1, "");
        vm.expectRevert(abi.encodeWithSelector(IDockets.ReasonTooLong.selector, 257, 256));
        clearing.appeal(id, 0, string(new bytes(257)));
        toEpoch(8 + APPEAL + 1);
        vm.expectRevert(abi.encodeWithSelector(IDockets.AppealTooLate.selector, id, 0, 8 + APPEAL, 8 + APPEAL + 1));
        clearing.appeal(id, 0, "");
    }

    function test_appeal_onceOnly() public {
        appeal("");
        vm.startPrank(node(PROVIDER));
        vm.expectRevert(abi.encodeWithSelector(IDockets.WrongDocketState.selector, id, 0, DocketState.APPEALED));
        clearing.appeal(id, 0, "");
    }

    function test_decide_isForTheOwnerAndAppealsOnly() public {
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IDockets.WrongDocketState.selector, id, 0, DocketState.OPEN));
        clearing.decide(id, 0, true);
        appeal("");
        vm.prank(account(PROVIDER));
        vm.expectRevert(abi.encodeWithSelector(IDockets.NotTheOwner.selector, account(PROVIDER)));
        clearing.decide(id, 0, true);
    }

    function test_attack_concludingTwicePaysOnce() public {
        appeal("");
        decide(true);
        wait(APPEAL + DECIDE + 2);
        vm.expectRevert(abi.encodeWithSelector(IDockets.WrongDocketState.selector, id, 0, DocketState.CANCELLED));
        clearing.conclude(id, 0);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IDockets.WrongDocketState.selector, id, 0, DocketState.CANCELLED));
        clearing.decide(id, 0, false);
    }

    function test_failedMeanwhile_theMoneyWaitsAndGoesToTheProvider() public {
        appeal("");
        pass(2, false); // 9, 10; 8 was missed too, so 9 is the sixth
        closeAndSettle();
        assertEq(uint8(stateOf(id)), uint8(AgreementState.FAILED));
        assertEq(clearing.collateralOf(id), 0);
        assertEq(contested(), COLLATERAL * 60 / 100, "two dockets: of 20 and of 40 percent");
        assertConserved();
        uint256 before = clearing.balanceOf(PROVIDER);
        decide(true);
        assertEq(clearing.balanceOf(PROVIDER), before + COLLATERAL / 5);
        assertEq(contested(), COLLATERAL * 40 / 100);
        wait(APPEAL + 1);
        clearing.conclude(id, 1);
        assertEq(contested(), 0);
        assertConserved();
    }

    /// @dev A heavy penalty after another has a docket and times of its own, and delays nothing.
    function test_repeatedHeavyPenalties_haveTheirOwnTimes() public {
        vm.prank(operator);
        directory.set(Kinds.DEMANDS, address(this));
        wait(20);
        clearing.penaliseDemand(id);
        assertEq(clearing.docketOf(id, 0).appealUntil, 8 + APPEAL);
        assertEq(clearing.docketOf(id, 1).appealUntil, 28 + APPEAL);
        vm.prank(node(PROVIDER));
        clearing.appeal(id, 1, "");
        wait(APPEAL - 19);
        clearing.conclude(id, 0);
        assertEq(clearing.docketsOf(id).length, 2);
        vm.prank(operator);
        clearing.decide(id, 1, true);
        assertEq(clearing.collateralOf(id), COLLATERAL * 65 / 100);
        assertConserved();
    }
}
