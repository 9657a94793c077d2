// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {AgreementView} from "peerage/interfaces/IAgreements.sol";
import {AgreementState} from "peerage/types/Types.sol";
import {Market} from "./Market.sol";

/// @notice What holds after any sequence of actions by anyone.
contract FundsTest is Test {
    Market internal market;

    function setUp() public {
        market = new Market();
        bytes4[] memory actions = new bytes4[](18);
        actions[0] = Market.advance.selector;
        actions[1] = Market.advance.selector; // time passes more often than anything else happens
        actions[2] = Market.advance.selector;
        actions[3] = Market.stop.selector;
        actions[4] = Market.open.selector;
        actions[5] = Market.open.selector;
        actions[6] = Market.grow.selector;
        actions[7] = Market.settle.selector;
        actions[8] = Market.settleAll.selector;
        actions[9] = Market.withdraw.selector;
        actions[10] = Market.withdrawTooMuch.selector;
        actions[11] = Market.steal.selector;
        actions[12] = Market.standDown.selector;
        actions[13] = bytes4(keccak256("deposit(uint8,uint64)"));
        actions[14] = Market.announceRemoval.selector;
        actions[15] = Market.announceRemoval.selector;
        actions[16] = Market.cancelRemoval.selector;
        actions[17] = Market.shrink.selector;
        targetContract(address(market));
        targetSelector(FuzzSelector(address(market), actions));
    }

    /// @dev token balance = accounts + escrows + collaterals = deposits - withdrawals - burned
    function invariant_creditsAreConserved() public view {
        uint256 sum = market.sumOfAccounts() + market.sumOfHoldings();
        assertEq(market.tokenBalance(), sum, "token balance");
        assertEq(market.total(), sum, "total");
        assertEq(market.deposited() - market.withdrawn() - market.sumBurned(), sum, "flow");
    }

    function invariant_aRevisionsNumberOnlyGrows() public view {
        for (uint256 i = 0; i < market.number(); ++i) {
            assertEq(market.viewOf(i).sequence, market.sequenceSeen(market.ids(i)));
        }
    }

    /// @dev Leaves go by what was announced a whole minimum retention before, and by nothing else.
    function invariant_leavesAreWhatWasKept() public view {
        for (uint256 i = 0; i < market.number(); ++i) {
            bytes32 id = market.ids(i);
            (uint64 leaves,) = market.announced(id);
            assertEq(market.viewOf(i).leaves, market.leavesLeft(id));
            assertEq(market.pendingOf(id), leaves);
        }
    }

    function invariant_nothingIsPromisedBeyondTheOffer() public view {
        for (uint32 member = 1; member <= 4; ++member) {
            (uint256 recorded, uint256 offered, uint256 summed) = market.promisedBy(member);
            assertEq(recorded, summed);
            assertLe(recorded, offered);
        }
    }

    /// @dev Pay for proven epochs, and for void ones before them, and never above the full price of the epochs settled.
    function invariant_payHasAProof() public view {
        for (uint256 i = 0; i < market.number(); ++i) {
            AgreementView memory shown = market.viewOf(i);
            if (market.provenEpochs(market.ids(i)) == 0) assertEq(market.paid(i), 0);
            uint256 full = (uint256(shown.terms.capacity) * shown.terms.pricePerGibEpoch + (1 << 30) - 1) >> 30;
            uint256 settled = uint256(shown.settledThrough) + 1 - shown.openedEpoch;
            assertLe(market.paid(i), full * settled);
        }
    }

    function invariant_endedAgreementsHoldNothing() public view {
        for (uint256 i = 0; i < market.number(); ++i) {
            AgreementView memory shown = market.viewOf(i);
            if (uint8(shown.state) <= uint8(AgreementState.GRACE)) {
                assertEq(shown.collateral, shown.terms.collateral - market.lost(i));
            } else {
                assertEq(shown.escrow + shown.collateral, 0);
            }
        }
    }

    /// @dev What a key has bound: the full price of its agreements in force, what the others cost, and its collateral.
    function invariant_boundIsWhatItSigned() public view {
        uint256[5] memory expected;
        for (uint256 i = 0; i < market.number(); ++i) {
            AgreementView memory shown = market.viewOf(i);
            uint256 full = (uint256(shown.terms.capacity) * shown.terms.pricePerGibEpoch + (1 << 30) - 1) >> 30;
            bool live = uint8(shown.state) <= uint8(AgreementState.GRACE);
            uint256 term = shown.terms.endEpoch - shown.terms.startEpoch;
            expected[shown.terms.client] += live ? full * term : market.paid(i);
            expected[shown.terms.provider] += live ? shown.terms.collateral : market.lost(i);
        }
        for (uint32 member = 1; member <= 4; ++member) {
            assertEq(market.boundBy(member), expected[member]);
        }
    }
}
