// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Bill} from "../interfaces/IAgreements.sol";
import {IClearing} from "../interfaces/IClearing.sol";
import {AgreementState, LEAF_SIZE} from "../types/Types.sol";
import {Bits} from "./Bits.sol";
import {Pricing} from "./Pricing.sol";
import {Rules} from "./RuleSet.sol";
import {StateTable} from "./StateTable.sol";

/// @notice An agreement's money, two words: a steady settlement changes the second only. See LedgerView.
struct Ledger {
    uint80 escrow;
    uint80 deferred;
    uint64 collateral;
    uint32 graceUntil;
    uint80 paid;
    uint64 bytesDown;
    uint64 missBits;
    uint32 nextEpoch;
}

/// @notice What misses have cost in an agreement; a word that most settlements do not touch.
struct Record {
    uint80 compensated;
    uint80 burned;
    uint32 misses;
    uint32 dockets;
}

/// @notice The facts about 256 epochs, bit i for epoch word * 256 + i. impaired: proven while a loss stood. short: below the
/// quality that the terms ask for. The rest is derived: see Settlement.judge.
struct Facts {
    uint256 proven;
    uint256 impaired;
    uint256 valid;
    uint256 followed;
    uint256 maintenance;
    uint256 short;
    uint256 kept;
    uint256 earning;
    uint256 voided;
    uint256 missed;
}

/// @notice One settlement in the making; nothing of it is in storage until it is over.
/// @param rules In force from the epoch they were asked for to before rulesUntil.
/// @param payPercent Of the price, in epochs below the agreed quality. graceOver: the time to pay in is over.
/// @param stuck The next epoch is proven and cannot be paid. contestedToClient, contestedBurned: for a docket.
struct Walk {
    bytes32 id;
    Bill bill;
    Ledger ledger;
    Record record;
    bool hasRecord;
    AgreementState state;
    Rules rules;
    uint256 rulesUntil;
    uint256 payPercent;
    bool graceOver;
    bool stuck;
    uint256 clientBalance;
    uint256 paid;
    uint256 funded;
    uint256 burned;
    uint256 contestedToClient;
    uint256 contestedBurned;
    uint32 proven;
    uint32 missed;
    uint32 voided;
    uint32 excused;
}

/// @notice The arithmetic of a settlement: verdicts, pay and penalties, on memory alone.
///
/// A stretch of epochs with one leaf count costs the same however long it is: verdicts are words of bits, pay is counts of
/// bits. Only a miss is looked at by itself, and an escrow that runs dry is searched for by halves.
library Settlement {
    using StateTable for AgreementState;

    /// @dev Percent of the collateral that may be appealed against.
    uint256 internal constant HEAVY = 20;

    /// @notice Derives the verdicts on the epochs in `range`. Verdict on an epoch with leaves:
    ///
    ///   void                                 pay deferred to the next earning epoch
    ///   valid and proven                     kept: paid, with what was deferred; unless impaired
    ///   valid, not proven, next not quorate  as if void: the chain may have stopped before it could
    ///   valid, not proven, in maintenance    excused: not paid, and no more
    ///   valid, not proven                    a miss
    function judge(Facts memory facts, uint256 range) internal pure {
        facts.kept = facts.proven & facts.valid & range;
        facts.earning = facts.kept & ~facts.impaired;
        facts.voided = range & ~(facts.valid & (facts.proven | facts.followed));
        facts.missed = range & ~(facts.kept | facts.voided);
    }

    /// @notice Settles the epochs from bit `from` to before bit `to` of a word, all of `leaves` leaves and under walk.rules.
    /// Stops before an epoch that cannot be paid, and after the miss that fails the agreement.
    function settle(Walk memory walk, Facts memory facts, uint256 from, uint256 to, uint64 leaves) internal {
        uint256 size = uint256(leaves) * LEAF_SIZE;
        uint256 pay = Pricing.cost(size, walk.bill.pricePerGibEpoch);
        uint256 misses = facts.missed & ~facts.maintenance & Bits.range(from, to);
        uint256 repair = misses == 0 ? 0 : repairCost(pay, size, walk.bill, walk.rules);
        while (misses != 0) {
            uint256 first = Bits.lowest(misses);
            _pass(walk, facts, from, first, pay);
            if (walk.stuck || !walk.state.live()) return;
            _miss(walk, repair);
            if (!walk.state.live()) return;
            from = first + 1;
            misses &= misses - 1;
        }
        _pass(walk, facts, from, to, pay);
    }

    /// @notice What a miss takes from the collateral, and how that is split: to the client as much of it as re-replication
    /// costs beyond what it has got already, for it must not gain by harming its provider; the rest is burned.
    function penalty(uint256 collateral, uint256 left, uint256 percent, uint256 repair, uint256 compensated)
        internal
        pure
        returns (uint256 toClient, uint256 burned)
    {
        uint256 taken = Math.min(left, collateral * percent / 100);
        toClient = Math.min(taken, repair > compensated ? repair - compensated : 0);
        burned = taken - toClient;
    }

    /// @notice What it is deemed to cost to put data of this size elsewhere.
    function repairCost(uint256 pay, uint256 size, Bill memory bill, Rules rules) internal pure returns (uint256) {
        return pay * rules.repairEpochs() + Pricing.cost(size, bill.egressPricePerGib);
    }

    /// @notice Percent of the original collateral that the n-th miss in the window costs.
    function percentOf(uint256 n) internal pure returns (uint256) {
        if (n < 2) return 0;
        if (n == 2) return 5;
        return n == 3 ? 10 : HEAVY;
    }

    /// @notice Moves credits from the client's account until the escrow holds `target`, as far as they go.
    function fund(Walk memory walk, uint256 target) internal pure {
        Ledger memory ledger = walk.ledger;
        if (ledger.escrow >= target) return;
        uint256 moved = Math.min(walk.clientBalance, target - ledger.escrow);
        // All credits together fit into 80 bits, see Accounts.
        ledger.escrow += uint80(moved);
        walk.clientBalance -= moved;
        walk.funded += moved;
    }

    /// @notice A sum, or the highest number of 80 bits: more than there are credits.
    function add80(uint80 a, uint256 b) internal pure returns (uint80) {
        return uint80(Math.min(uint256(a) + b, type(uint80).max));
    }

    /// @dev Epochs from bit `from` to before `to`, none of them a miss.
    function _pass(Walk memory walk, Facts memory facts, uint256 from, uint256 to, uint256 pay) private pure {
        if (from == to) return;
        Ledger memory ledger = walk.ledger;
        uint256 range = Bits.range(from, to);
        uint256 earning = facts.earning & range;
        uint256 waiting = facts.voided & range;
        if (earning != 0) {
            // Void epochs wait for the next earning one, so those before the last are paid with it.
            uint256 before = waiting & Bits.range(0, Bits.highest(earning));
            uint256 due = ledger.deferred + _value(walk, facts, earning | before, pay);
            if (due > uint256(ledger.escrow) + walk.clientBalance && to - from > 1) {
                uint256 middle = (from + to) / 2;
                _pass(walk, facts, from, middle, pay);
                if (!walk.stuck && walk.state.live()) _pass(walk, facts, middle, to, pay);
                return;
            }
            if (!_pay(walk, due)) return;
            waiting ^= before;
        }
        ledger.deferred = add80(ledger.deferred, _value(walk, facts, waiting, pay));
        uint256 kept = Bits.count(facts.kept & range);
        ledger.missBits = uint64(uint256(ledger.missBits) << kept);
        ledger.nextEpoch += uint32(to - from);
        walk.proven += uint32(kept);
        walk.voided += uint32(Bits.count(facts.voided & range));
        walk.excused += uint32(Bits.count(facts.missed & range));
    }

    /// @dev Pays what is due, and with it all that was deferred; after the time to pay in, as much as there is.
    /// @return Whether the epoch is settled by it.
    function _pay(Walk memory walk, uint256 due) private pure returns (bool) {
        Ledger memory ledger = walk.ledger;
        fund(walk, due);
        if (ledger.escrow < due) {
            if (!walk.graceOver) {
                walk.stuck = true;
                return false;
            }
            due = ledger.escrow;
            walk.state = AgreementState.LAPSED;
        }
        ledger.escrow -= uint80(due);
        ledger.paid = add80(ledger.paid, due);
        ledger.deferred = 0;
        walk.paid += due;
        return true;
    }

    function _miss(Walk memory walk, uint256 repair) private {
        Ledger memory ledger = walk.ledger;
        Record memory record = walk.record;
        uint32 epoch = ledger.nextEpoch++;
        ledger.missBits = (ledger.missBits << 1) | 1;
        ++record.misses;
        ++walk.missed;
        uint256 inWindow = missesIn(ledger.missBits, walk.rules);
        emit IClearing.Missed(walk.id, epoch, uint32(inWindow));

        bool fails = inWindow >= walk.rules.failAt();
        if (fails) walk.state = AgreementState.FAILED;
        uint256 percent = percentOf(inWindow);
        (uint256 toClient, uint256 burned) =
            penalty(walk.bill.collateral, ledger.collateral, percent, repair, record.compensated);
        take(walk, epoch, toClient, burned, fails || percent == HEAVY);
    }

    /// @notice Takes a penalty out of the collateral: a light one at once, a heavy one into a docket.
    function take(Walk memory walk, uint32 epoch, uint256 toClient, uint256 burned, bool heavy) internal {
        if (toClient + burned == 0) return;
        walk.ledger.collateral -= uint64(toClient + burned);
        walk.record.compensated = add80(walk.record.compensated, toClient);
        walk.record.burned = add80(walk.record.burned, burned);
        if (heavy) {
            walk.contestedToClient += toClient;
            walk.contestedBurned += burned;
        } else {
            walk.clientBalance += toClient;
            walk.burned += burned;
        }
        emit IClearing.Penalised(walk.id, epoch, toClient, burned, heavy);
    }

    /// @notice Misses among the newest judged epochs, as many as the window has.
    function missesIn(uint64 missBits, Rules rules) internal pure returns (uint256) {
        return Bits.count(missBits & Bits.range(0, rules.windowEpochs()));
    }

    /// @dev Pay of these epochs, less in those below the agreed quality.
    function _value(Walk memory walk, Facts memory facts, uint256 epochs, uint256 pay) private pure returns (uint256) {
        uint256 short = Bits.count(epochs & facts.short);
        uint256 value = (Bits.count(epochs) - short) * pay;
        return short == 0 ? value : value + short * (pay * walk.payPercent / 100);
    }
}
