// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {LedgerView} from "peerage/interfaces/IClearing.sol";
import {AgreementState} from "peerage/types/Types.sol";
import {Market} from "./market/Market.sol";

/// @notice What holds after any sequence of actions by anyone, honest or not.
contract MarketTest is Test {
    Market internal market;

    function setUp() public {
        market = new Market();
        bytes4[] memory actions = new bytes4[](36);
        actions[0] = market.advance.selector;
        actions[1] = market.advance.selector; // time passes more often than anything else happens
        actions[2] = market.advance.selector;
        actions[3] = market.advance.selector;
        actions[4] = market.outage.selector;
        actions[5] = market.outageInMidEpoch.selector;
        actions[6] = market.open.selector;
        actions[7] = market.grow.selector;
        actions[8] = market.shrink.selector;
        actions[9] = market.replay.selector;
        actions[10] = market.announceRemoval.selector;
        actions[11] = market.cancelRemoval.selector;
        actions[12] = market.pay.selector;
        actions[13] = market.withdraw.selector;
        actions[14] = market.lose.selector;
        actions[15] = market.forge.selector;
        actions[16] = market.settle.selector;
        actions[17] = market.settleAll.selector;
        actions[18] = market.standDown.selector;
        actions[19] = market.steal.selector;
        actions[20] = market.appeal.selector;
        actions[21] = market.decide.selector;
        actions[22] = market.conclude.selector;
        actions[23] = market.maintain.selector;
        actions[24] = market.changeRules.selector;
        actions[25] = market.suspend.selector;
        actions[26] = market.demand.selector;
        actions[27] = market.answerDemand.selector;
        actions[28] = market.closeDemand.selector;
        actions[29] = market.reportLoss.selector;
        actions[30] = market.reportRestored.selector;
        actions[31] = market.advance.selector;
        actions[32] = market.amend.selector;
        actions[33] = market.exit.selector;
        actions[34] = market.probe.selector;
        actions[35] = market.probe.selector;
        targetContract(address(market));
        targetSelector(FuzzSelector(address(market), actions));
    }

    function afterInvariant() public {
        market.writeJournal();
    }

    function invariant_everythingHolds() public view {
        Market.Compared[] memory all = new Market.Compared[](market.number());
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = market.compared(i);
            _sequencesGrowAndLeavesAreKept(all[i]);
            _paysExactlyWhatWasEarned(all[i]);
            _honestIsPaidAndTheLostIsNot(all[i]);
            _collateralIsAccountedFor(all[i]);
        }
        _creditsAreConserved(all);
        _eachOwnsWhatItBrought(all);
        _promisesAndBoundsAddUp(all);
    }

    function _sequencesGrowAndLeavesAreKept(Market.Compared memory one) private pure {
        assertEq(one.shown.sequence, one.sequence, "sequence");
        assertEq(one.shown.leaves, one.leaves, "leaves");
        assertEq(one.announced, one.removal, "announced removal");
    }

    /// @dev The books judge epoch by epoch from what was seen: pay, misses and what void epochs defer, to the unit.
    function _paysExactlyWhatWasEarned(Market.Compared memory one) private pure {
        assertEq(one.ledger.misses, one.misses, "misses: a void epoch is none");
        if (one.shown.state == AgreementState.LAPSED) {
            assertLe(one.ledger.paid, one.paid, "paid when lapsed");
            assertGe(one.ledger.paid, one.paid - one.lastPay, "paid when lapsed");
        } else {
            assertEq(one.ledger.paid, one.paid, "paid");
        }
        if (_live(one.shown.state)) assertEq(one.ledger.deferred, one.deferred, "deferred");
    }

    function _honestIsPaidAndTheLostIsNot(Market.Compared memory one) private view {
        if (market.isHonest(one.provider)) {
            assertEq(one.ledger.misses, 0, "an honest provider missed");
            assertEq(one.ledger.compensated + one.ledger.burned, 0, "an honest provider was penalised");
            assertTrue(one.shown.state != AgreementState.FAILED, "an honest provider failed");
        }
        if (market.isCheat(one.provider)) assertEq(one.ledger.paid, 0, "a provider without data was paid");
        if (one.lostAllIn != 0) {
            assertLe(one.ledger.paid, one.owedUntilLost, "paid for epochs after the loss");
        }
    }

    function _collateralIsAccountedFor(Market.Compared memory one) private pure {
        uint256 taken = one.ledger.compensated + one.ledger.burned;
        if (_live(one.shown.state)) {
            assertEq(one.ledger.collateral + taken, one.shown.terms.collateral, "collateral");
        } else {
            assertEq(one.ledger.escrow + one.ledger.collateral + one.ledger.deferred, 0, "held after the end");
            assertLe(taken, one.shown.terms.collateral, "taken");
        }
    }

    /// @dev token balance = total = accounts + escrows + collaterals + dockets + reserved = deposits - withdrawals - burned
    function _creditsAreConserved(Market.Compared[] memory all) private view {
        uint256 held;
        uint256 left;
        uint256 brought;
        for (uint32 member = 1; member <= market.memberCount(); ++member) {
            held += market.balanceOf(member);
            brought += market.deposited(member);
            left += market.withdrawn(member);
        }
        for (uint256 i = 0; i < all.length; ++i) {
            held += all[i].ledger.escrow + all[i].ledger.collateral + all[i].waitingForClient + all[i].waitingToBurn;
            left += all[i].ledger.burned - all[i].waitingToBurn;
        }
        uint256 reserved;
        for (uint32 member = 1; member <= market.memberCount(); ++member) {
            reserved += market.setAside(member);
        }
        assertEq(market.reserved(), reserved, "deposits set aside");
        held += reserved;
        assertEq(market.tokenBalance(), held, "token balance");
        assertEq(market.total(), held, "total");
        assertEq(brought, held + left, "flow");
    }

    /// @dev What a member has, free and held, is what it brought less what it took, with what it earned and paid.
    function _eachOwnsWhatItBrought(Market.Compared[] memory all) private view {
        uint256 number = market.memberCount();
        uint256[] memory has = new uint256[](number + 1);
        uint256[] memory should = new uint256[](number + 1);
        for (uint32 member = 1; member <= number; ++member) {
            has[member] = market.balanceOf(member) + market.withdrawn(member);
            has[member] += market.setAside(member) + market.answersPaid(member) + market.exitPaid(member);
            should[member] = market.deposited(member) + market.answersEarned(member) + market.exitEarned(member);
        }
        for (uint256 i = 0; i < all.length; ++i) {
            LedgerView memory ledger = all[i].ledger;
            has[all[i].client] += ledger.escrow + ledger.paid;
            should[all[i].client] += ledger.compensated - all[i].waitingForClient;
            has[all[i].provider] += ledger.collateral + ledger.compensated + ledger.burned;
            should[all[i].provider] += ledger.paid;
        }
        for (uint32 member = 1; member <= number; ++member) {
            assertEq(has[member], should[member], "a member's wealth");
        }
    }

    function _promisesAndBoundsAddUp(Market.Compared[] memory all) private view {
        uint256 number = market.memberCount();
        uint256[] memory promises = new uint256[](number + 1);
        for (uint256 i = 0; i < all.length; ++i) {
            if (_live(all[i].shown.state)) promises[all[i].provider] += all[i].shown.terms.capacity;
        }
        for (uint32 member = 1; member <= number; ++member) {
            (uint256 promised, uint256 offered) = market.promisedBy(member);
            assertEq(promised, promises[member], "promised");
            assertLe(promised, offered, "promised beyond the offer");
            (uint256 bound_, uint256 limit) = market.boundBy(member);
            assertEq(bound_, market.shouldBind(member), "bound");
            assertLe(bound_, limit, "bound beyond the limit");
        }
    }

    function _live(AgreementState state) private pure returns (bool) {
        return state == AgreementState.ACTIVE || state == AgreementState.GRACE;
    }
}
