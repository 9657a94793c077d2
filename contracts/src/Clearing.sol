// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Dockets} from "./base/Dockets.sol";
import {Peered} from "./base/Peered.sol";
import {Bill, IAgreements, Run} from "./interfaces/IAgreements.sol";
import {IBeacon} from "./interfaces/IBeacon.sol";
import {IClearing, LedgerView} from "./interfaces/IClearing.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IQuality} from "./interfaces/IQuality.sol";
import {Bits} from "./libraries/Bits.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Pricing} from "./libraries/Pricing.sol";
import {QualityClause} from "./libraries/QualityClause.sol";
import {Rules} from "./libraries/RuleSet.sol";
import {Facts, Ledger, Record, Settlement, Walk} from "./libraries/Settlement.sol";
import {StateTable} from "./libraries/StateTable.sol";
import {AgreementState, LEAF_SIZE, Terms} from "./types/Types.sol";

/// @notice Every credit in the network. See IClearing.
///
/// Flow of credits: deposit -> account -> escrow (client), collateral (provider), reserved (demands) -> dockets -> accounts,
/// burned -> withdrawal. Only deposits, withdrawals and burning touch the token; the token's balance of this contract is the
/// sum of all accounts, escrows, collaterals, reserved credits and dockets, at any time.
///
/// A settlement judges the closed epochs of an agreement in order, each once, by the rules in force in it; Settlement has the
/// arithmetic. This contract finds the facts, one word of bits for 256 epochs, and writes the outcome down.
contract Clearing is IClearing, Dockets {
    using SafeCast for uint256;
    using StateTable for AgreementState;

    /// @dev Keeps a settlement within a block, whatever happened in those epochs.
    uint256 private constant MAX_EPOCHS = 4096;

    constructor(IDirectory directory) Peered(directory) {}

    /// @inheritdoc IClearing
    function hold(bytes32 id, Terms calldata terms)
        external
        override
        onlyCurrent(Kinds.CLEARING)
        onlyContract(Kinds.AGREEMENTS)
    {
        uint256 first = Math.max(terms.startEpoch, currentEpoch());
        uint256 ahead = Math.min(terms.endEpoch - first, _rules().escrowEpochs());
        uint256 escrow = Pricing.cost(terms.capacity, terms.pricePerGibEpoch) * ahead;
        _take(terms.client, escrow);
        _take(terms.provider, terms.collateral);
        Ledger storage ledger = _ledger[id];
        ledger.escrow = uint80(escrow);
        ledger.collateral = terms.collateral;
        emit Held(id, terms.client, terms.provider, escrow, terms.collateral);
    }

    /// @inheritdoc IClearing
    function top(bytes32 id, uint64 more) external override onlyCurrent(Kinds.CLEARING) onlyContract(Kinds.AMENDMENTS) {
        Bill memory bill = _agreements().billOf(id);
        Ledger storage ledger = _ledger[id];
        uint256 target = _escrowTarget(bill, ledger, _rules());
        uint256 missing = target > ledger.escrow ? target - ledger.escrow : 0;
        _take(bill.provider, more);
        _take(bill.client, missing);
        ledger.collateral += more;
        ledger.escrow += uint80(missing);
        emit Topped(id, more, missing);
    }

    /// @inheritdoc IClearing
    function chargeExit(bytes32 id, bool byClient)
        external
        override
        onlyCurrent(Kinds.CLEARING)
        onlyContract(Kinds.AMENDMENTS)
    {
        Bill memory bill = _agreements().billOf(id);
        (uint256 pay, uint256 repair) = _costs(bill, _newestLeaves(id));
        if (byClient) {
            _chargeClient(id, bill, pay * _rules().repairEpochs());
            return;
        }
        (uint256 fee,) =
            Settlement.penalty(_ledger[id].collateral, _ledger[id].collateral, 100, repair, _record[id].compensated);
        _compensate(id, bill.client, fee);
        emit ExitCharged(id, currentEpoch(), false, fee, 0);
    }

    /// @inheritdoc IClearing
    function chargeLoss(bytes32 id, uint64 leaves)
        external
        override
        onlyCurrent(Kinds.CLEARING)
        onlyContract(Kinds.PROOFS)
    {
        Bill memory bill = _agreements().billOf(id);
        (, uint256 repair) = _costs(bill, leaves);
        uint256 fee = Math.min(_ledger[id].collateral, repair / 2);
        _compensate(id, bill.client, fee);
        emit LossCharged(id, currentEpoch(), leaves, fee);
    }

    /// @inheritdoc IClearing
    function penaliseDemand(bytes32 id) external override onlyCurrent(Kinds.CLEARING) onlyContract(Kinds.DEMANDS) {
        Bill memory bill = _agreements().billOf(id);
        Ledger storage ledger = _ledger[id];
        Record storage record = _record[id];
        (, uint256 repair) = _costs(bill, _newestLeaves(id));
        (uint256 toClient, uint256 burned) =
            Settlement.penalty(bill.collateral, ledger.collateral, Settlement.HEAVY, repair, record.compensated);
        if (toClient + burned == 0) return;
        ledger.collateral -= uint64(toClient + burned);
        record.compensated = Settlement.add80(record.compensated, toClient);
        record.burned = Settlement.add80(record.burned, burned);
        emit Penalised(id, currentEpoch(), toClient, burned, true);
        _contest(id, record.dockets++, toClient, burned);
    }

    /// @inheritdoc IClearing
    function settle(bytes32 id) external override onlyCurrent(Kinds.CLEARING) {
        _settle(id);
    }

    /// @inheritdoc IClearing
    function settleMany(bytes32[] calldata ids) external override onlyCurrent(Kinds.CLEARING) {
        for (uint256 i = 0; i < ids.length; ++i) {
            _settle(ids[i]);
        }
    }

    /// @inheritdoc IClearing
    function escrowOf(bytes32 id) external view override returns (uint256) {
        return _ledger[id].escrow;
    }

    /// @inheritdoc IClearing
    function collateralOf(bytes32 id) external view override returns (uint256) {
        return _ledger[id].collateral;
    }

    /// @inheritdoc IClearing
    function ledgerOf(bytes32 id) external view override returns (LedgerView memory) {
        Ledger memory ledger = _ledger[id];
        Record memory record = _record[id];
        Bill memory bill = _agreements().billOf(id);
        return LedgerView({
            escrow: ledger.escrow,
            collateral: ledger.collateral,
            deferred: ledger.deferred,
            paid: ledger.paid,
            compensated: record.compensated,
            burned: record.burned,
            bytesDown: ledger.bytesDown,
            missBits: ledger.missBits,
            nextEpoch: _next(bill, ledger),
            graceUntil: ledger.graceUntil,
            misses: record.misses,
            recentMisses: uint32(Settlement.missesIn(ledger.missBits, _rules())),
            dockets: record.dockets
        });
    }

    /// @inheritdoc IClearing
    function penaltyPercent(uint256 n) external pure override returns (uint256) {
        return Settlement.percentOf(n);
    }

    /// @inheritdoc IClearing
    function lastClosedEpoch() external view override returns (uint32) {
        uint32 closed = _closedBefore();
        return closed == 0 ? 0 : closed - 1;
    }

    /// @dev An epoch is closed once the beats of the next one are: only then is it known whether the chain went on.
    function _closedBefore() private view returns (uint32) {
        uint32 epoch = currentEpoch();
        if (block.timestamp >= _halfTime()) return epoch;
        return epoch == 0 ? 0 : epoch - 1;
    }

    // Settlement

    function _settle(bytes32 id) private {
        IAgreements agreements = _agreements();
        Walk memory walk;
        walk.id = id;
        walk.bill = agreements.billOf(id);
        walk.payPercent = 100 - QualityClause.percent(walk.bill.qualityClause);
        AgreementState before = walk.bill.state;
        if (!before.live()) return;
        walk.state = before;
        walk.ledger = _ledger[id];
        uint32 from = _next(walk.bill, walk.ledger);
        uint32 closed = uint32(Math.min(_closedBefore(), walk.bill.endEpoch));
        bool traffic = _chargeTraffic(walk);
        if (closed <= from && !traffic) return;

        walk.ledger.nextEpoch = from;
        walk.clientBalance = balanceOf[walk.bill.client];
        walk.graceOver = before == AgreementState.GRACE && currentEpoch() > walk.ledger.graceUntil;
        if (closed > from) _walk(walk, agreements.leafRuns(id, from, uint32(Math.min(closed, from + MAX_EPOCHS))));
        _arrive(walk, before, closed);
        _write(walk, from, before);
        if (walk.state != before) {
            Record memory record = _record[id];
            agreements.transit(id, walk.state, walk.ledger.paid, uint256(record.compensated) + record.burned);
        }
        _burn(walk.burned);
    }

    /// @dev Traffic that both sides signed for since the last settlement is paid for like the epochs before it: by the next
    /// proof that earns.
    function _chargeTraffic(Walk memory walk) private returns (bool) {
        (Bill memory bill, Ledger memory ledger) = (walk.bill, walk.ledger);
        if (bill.bytesDown <= ledger.bytesDown) return false;
        uint256 amount = Pricing.cost(bill.bytesDown - ledger.bytesDown, bill.egressPricePerGib);
        ledger.deferred = Settlement.add80(ledger.deferred, amount);
        ledger.bytesDown = bill.bytesDown;
        emit TrafficCharged(walk.id, bill.bytesDown, amount);
        return true;
    }

    /// @dev Settles run by run, word by word, and by one set of rules at a time, until the runs' end or the agreement's.
    function _walk(Walk memory walk, Run[] memory runs) private {
        Facts memory facts;
        uint256 loaded = type(uint256).max;
        uint256 last = runs[runs.length - 1].until;
        for (uint256 i = 0; i < runs.length; ++i) {
            if (runs[i].leaves == 0) walk.ledger.nextEpoch = runs[i].until;
            while (walk.ledger.nextEpoch < runs[i].until) {
                uint256 epoch = walk.ledger.nextEpoch;
                uint256 wordEnd = (epoch | 0xff) + 1;
                if (loaded != wordEnd) {
                    loaded = wordEnd;
                    _load(walk, facts, epoch, Math.min(wordEnd, last));
                }
                _useRules(walk, epoch);
                uint256 to = Math.min(Math.min(runs[i].until, wordEnd), walk.rulesUntil);
                Settlement.settle(walk, facts, epoch & 0xff, to + 256 - wordEnd, runs[i].leaves);
                if (walk.stuck || !walk.state.live()) return;
            }
        }
    }

    /// @dev Finds the facts about the epochs from `from` to before `to`, all of one word.
    function _load(Walk memory walk, Facts memory facts, uint256 from, uint256 to) private view {
        uint32 word = uint32(from >> 8);
        (facts.proven, facts.impaired) = _proofs().words(walk.id, word);
        uint256 range = Bits.range(from & 0xff, to - (uint256(word) << 8));
        _loadQuorums(facts, word, range);
        Settlement.judge(facts, range);
        facts.short = _shortfalls(walk.bill, from, to) << (from & 0xff);
        facts.maintenance = facts.missed == 0 ? 0 : _members().maintenanceWord(walk.bill.provider, word);
        if (facts.missed == 0 || walk.hasRecord) return;
        walk.record = _record[walk.id];
        walk.hasRecord = true;
    }

    /// @dev Bit i: epoch from + i was below the quality that the terms ask for; none if nobody measures it.
    function _shortfalls(Bill memory bill, uint256 from, uint256 to) private view returns (uint256) {
        if (bill.qualityClause == 0) return 0;
        address quality = directory.get(Kinds.QUALITY);
        if (quality == address(0)) return 0;
        return IQuality(quality).shortfalls(bill.provider, uint32(from), uint32(to), bill.qualityClause);
    }

    /// @dev Which epochs are valid, and followed by a quorate one. The words beside are read for the bits at the edges only.
    function _loadQuorums(Facts memory facts, uint32 word, uint256 range) private view {
        IBeacon beacon = _beacon();
        uint256 quorate = beacon.quorateWord(word);
        facts.valid = quorate & (quorate << 1);
        facts.followed = quorate >> 1;
        if (range & 1 != 0 && word != 0) facts.valid |= quorate & (beacon.quorateWord(word - 1) >> 255);
        if (range >> 255 != 0) facts.followed |= beacon.quorateWord(word + 1) << 255;
    }

    /// @dev Where the walk leaves the agreement, and the escrow for the epochs ahead.
    function _arrive(Walk memory walk, AgreementState before, uint32 closed) private view {
        if (!walk.state.live()) return;
        Ledger memory ledger = walk.ledger;
        uint32 epoch = currentEpoch();
        _useRules(walk, epoch);
        if (walk.stuck) {
            if (before == AgreementState.GRACE) return;
            walk.state = AgreementState.GRACE;
            ledger.graceUntil = epoch + uint32(walk.rules.graceEpochs());
            return;
        }
        if (ledger.nextEpoch == walk.bill.endEpoch) {
            walk.state = AgreementState.ENDED;
            return;
        }
        // A client that pays a part of what it owes stays in the same grace period.
        if (before == AgreementState.GRACE && ledger.nextEpoch >= closed) {
            walk.state = AgreementState.ACTIVE;
            ledger.graceUntil = 0;
        }
        Settlement.fund(walk, _escrowTarget(walk.bill, ledger, walk.rules));
    }

    /// @dev Writes the walk's outcome down.
    function _write(Walk memory walk, uint32 from, AgreementState before) private {
        Ledger memory ledger = walk.ledger;
        bool final_ = !walk.state.live();
        (uint256 toClient, uint256 toProvider) = final_ ? (ledger.escrow, ledger.collateral) : (0, 0);
        if (final_) (ledger.escrow, ledger.collateral, ledger.deferred) = (0, 0, 0);
        _ledger[walk.id] = ledger;
        balanceOf[walk.bill.client] = walk.clientBalance + toClient;
        balanceOf[walk.bill.provider] += walk.paid + toProvider;
        emit Settled(
            walk.id, from, ledger.nextEpoch, walk.proven, walk.missed, walk.voided, walk.excused, walk.paid, walk.funded
        );
        if (walk.state == AgreementState.GRACE && before != AgreementState.GRACE) {
            emit EscrowEmpty(walk.id, ledger.nextEpoch, ledger.graceUntil);
        }
        if (final_) emit Released(walk.id, toClient, toProvider);
        if (walk.contestedToClient + walk.contestedBurned != 0) {
            _contest(walk.id, walk.record.dockets++, walk.contestedToClient, walk.contestedBurned);
        }
        if (walk.missed != 0) _record[walk.id] = walk.record;
    }

    // Charges

    function _chargeClient(bytes32 id, Bill memory bill, uint256 fee) private {
        uint256 balance = balanceOf[bill.client];
        uint256 fromEscrow = fee > balance ? fee - balance : 0;
        Ledger storage ledger = _ledger[id];
        if (fromEscrow > ledger.escrow) revert InsufficientBalance(bill.client, balance + ledger.escrow, fee);
        balanceOf[bill.client] = balance + fromEscrow - fee;
        ledger.escrow -= uint80(fromEscrow);
        balanceOf[bill.provider] += fee;
        emit ExitCharged(id, currentEpoch(), true, fee, fromEscrow);
    }

    function _compensate(bytes32 id, uint32 client, uint256 amount) private {
        _ledger[id].collateral -= uint64(amount);
        _record[id].compensated = Settlement.add80(_record[id].compensated, amount);
        balanceOf[client] += amount;
    }

    /// @dev An epoch's pay for these leaves, and what it is deemed to cost now to put them elsewhere.
    function _costs(Bill memory bill, uint64 leaves) private view returns (uint256 pay, uint256 repair) {
        uint256 size = uint256(leaves) * LEAF_SIZE;
        pay = Pricing.cost(size, bill.pricePerGibEpoch);
        repair = Settlement.repairCost(pay, size, bill, _rules());
    }

    /// @dev Those of the newest revision: what a challenge two epochs ahead will be over.
    function _newestLeaves(bytes32 id) private view returns (uint64) {
        uint32 epoch = currentEpoch() + 2;
        return _agreements().leafRuns(id, epoch, epoch + 1)[0].leaves;
    }

    function _next(Bill memory bill, Ledger memory ledger) private pure returns (uint32) {
        return ledger.nextEpoch == 0 ? bill.startEpoch : ledger.nextEpoch;
    }

    /// @dev The full price of the epochs ahead, as many as the rules ask for, and what is deferred.
    function _escrowTarget(Bill memory bill, Ledger memory ledger, Rules rules) private pure returns (uint256) {
        uint256 ahead = Math.min(bill.endEpoch - _next(bill, ledger), rules.escrowEpochs());
        return Pricing.cost(bill.capacity, bill.pricePerGibEpoch) * ahead + ledger.deferred;
    }

    function _useRules(Walk memory walk, uint256 epoch) private view {
        if (epoch >= walk.rulesUntil) (walk.rules, walk.rulesUntil) = directory.rulesAt(uint32(epoch));
    }
}
