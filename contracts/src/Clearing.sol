// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Peered} from "./base/Peered.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {IClearing, LedgerView} from "./interfaces/IClearing.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {Kinds} from "./libraries/Kinds.sol";
import {Pricing} from "./libraries/Pricing.sol";
import {StateTable} from "./libraries/StateTable.sol";
import {AgreementState, LEAF_SIZE, MemberStatus, Params, Terms} from "./types/Types.sol";

/// @notice Every credit in the network. See IClearing.
///
/// Flow of credits: deposit -> account -> escrow (client), collateral (provider) -> accounts, burned -> withdrawal. Only
/// deposits, withdrawals and burning touch the token; the token's balance of this contract is the sum of all accounts,
/// escrows and collaterals, at any time.
///
/// A settlement walks the closed epochs of an agreement in order, each once. Verdict on an epoch, from the frozen leaf count
/// and the bits that Proofs and Beacon hold:
///
///   no leaves                                        nothing
///   void                                             pay deferred to the next proven epoch
///   valid, provider proved and beat                  paid, with what was deferred
///   valid, did not, and the next epoch not quorate   as if void: the chain may have stopped before it could
///   valid, did not                                   a miss
contract Clearing is IClearing, Peered, ReentrancyGuard {
    using SafeERC20 for ERC20Burnable;
    using SafeCast for uint256;
    using StateTable for AgreementState;

    uint256 private constant MAX_WALK = 256;

    /// @notice An agreement's money and record.
    struct Ledger {
        uint128 escrow;
        uint128 collateral;
        uint128 deferred;
        uint128 paid;
        uint128 compensated;
        uint128 burned;
        uint64 missBits;
        uint32 misses;
        uint32 nextEpoch;
        uint32 graceUntil;
    }

    /// @dev One settlement in the making; nothing of it is in storage until _close.
    struct Walk {
        bytes32 id;
        Terms terms;
        AgreementState before;
        AgreementState state;
        Ledger ledger;
        uint256 clientBalance;
        uint256 providerBalance;
        uint32 from;
        uint32 closed;
        uint32 proven;
        uint32 missed;
        uint32 voided;
        uint256 paid;
        uint256 burned;
        uint256 funded;
        bool stuck;
    }

    /// @dev The bits of the 256 epochs that the walk is in.
    struct Bits {
        uint256 word;
        uint256 proven;
        uint256 beaten;
        uint256 valid;
        uint256 followed;
    }

    uint256 private immutable GRACE_EPOCHS;
    uint256 private immutable ESCROW_EPOCHS;
    uint256 private immutable WINDOW;
    uint256 private immutable FAIL_AT;
    uint256 private immutable REPAIR_EPOCHS;

    /// @inheritdoc IClearing
    mapping(uint32 member => uint256) public override balanceOf;
    /// @inheritdoc IClearing
    uint256 public override total;

    mapping(bytes32 id => Ledger) private _ledger;

    constructor(IDirectory directory) Peered(directory) {
        Params memory params = directory.params();
        GRACE_EPOCHS = params.graceEpochs;
        ESCROW_EPOCHS = params.escrowEpochs;
        WINDOW = params.windowEpochs;
        FAIL_AT = params.failAt;
        REPAIR_EPOCHS = params.repairEpochs;
    }

    /// @inheritdoc IClearing
    function depositFor(uint32 member, uint256 amount) external override nonReentrant {
        if (_members().statusOf(member) == MemberStatus.NONE) revert UnknownMember(member);
        balanceOf[member] += amount;
        total += amount;
        emit Deposited(member, msg.sender, amount);
        _credit().safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IClearing
    function withdraw(uint256 amount, address to) external override nonReentrant {
        uint32 member = _members().memberOfAccount(msg.sender);
        if (member == 0) revert NotAnAccount(msg.sender);
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        _take(member, amount);
        total -= amount;
        emit Withdrawn(member, to, amount);
        _credit().safeTransfer(to, amount);
    }

    /// @inheritdoc IClearing
    function hold(bytes32 id, Terms calldata terms) external override onlyContract(Kinds.AGREEMENTS) nonReentrant {
        uint32 epoch = currentEpoch();
        uint32 first = terms.startEpoch > epoch ? terms.startEpoch : epoch;
        uint256 escrow = Pricing.fullCost(terms, Math.min(terms.endEpoch - first, ESCROW_EPOCHS));
        _take(terms.client, escrow);
        _take(terms.provider, terms.collateral);
        Ledger storage ledger = _ledger[id];
        ledger.escrow = escrow.toUint128();
        ledger.collateral = terms.collateral;
        ledger.nextEpoch = first;
        emit Held(id, terms.client, terms.provider, escrow, terms.collateral);
    }

    /// @inheritdoc IClearing
    function settle(bytes32 id) external override nonReentrant {
        _settle(id);
    }

    /// @inheritdoc IClearing
    function settleMany(bytes32[] calldata ids) external override nonReentrant {
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
        Ledger storage ledger = _ledger[id];
        return LedgerView({
            escrow: ledger.escrow,
            collateral: ledger.collateral,
            deferred: ledger.deferred,
            paid: ledger.paid,
            compensated: ledger.compensated,
            burned: ledger.burned,
            nextEpoch: ledger.nextEpoch,
            graceUntil: ledger.graceUntil,
            misses: ledger.misses,
            recentMisses: uint32(_countBits(ledger.missBits))
        });
    }

    /// @inheritdoc IClearing
    function penaltyPercent(uint256 n) public pure override returns (uint256) {
        if (n < 2) return 0;
        if (n == 2) return 5;
        return n == 3 ? 10 : 20;
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

    function _settle(bytes32 id) private {
        IAgreements agreements = _agreements();
        Walk memory walk;
        walk.id = id;
        (walk.terms, walk.before) = agreements.termsOf(id);
        if (!walk.before.live()) return;
        walk.state = walk.before;
        walk.ledger = _ledger[id];
        walk.from = walk.ledger.nextEpoch;
        walk.closed = uint32(Math.min(_closedBefore(), walk.terms.endEpoch));
        if (walk.closed <= walk.from) return;
        walk.clientBalance = balanceOf[walk.terms.client];
        walk.providerBalance = balanceOf[walk.terms.provider];

        uint32 until = uint32(Math.min(walk.closed, walk.from + MAX_WALK));
        _walk(walk, agreements.leavesOver(id, walk.from, until));
        _conclude(walk);
        _close(walk, agreements);
    }

    /// @dev Judges the epochs from walk.from on, one for each leaf count, until the end or until the agreement's end.
    function _walk(Walk memory walk, uint64[] memory leaves) private {
        Bits memory bits;
        bits.word = type(uint256).max;
        Ledger memory ledger = walk.ledger;
        for (uint256 i = 0; i < leaves.length; ++i) {
            if (leaves[i] != 0) _judge(walk, bits, ledger.nextEpoch, leaves[i]);
            if (walk.stuck) return;
            ++ledger.nextEpoch;
            if (!walk.state.live()) return;
        }
    }

    function _judge(Walk memory walk, Bits memory bits, uint32 epoch, uint64 leaves) private {
        if (bits.word != epoch >> 8) _load(walk, bits, epoch >> 8);
        uint256 mask = 1 << (epoch & 0xff);
        uint256 pay = Pricing.cost(uint256(leaves) * LEAF_SIZE, walk.terms.pricePerGibEpoch);
        bool kept = bits.proven & bits.beaten & mask != 0;
        if (bits.valid & mask == 0 || (!kept && bits.followed & mask == 0)) {
            walk.ledger.deferred += pay.toUint128();
            ++walk.voided;
        } else if (kept) {
            _pay(walk, pay + walk.ledger.deferred);
        } else {
            _miss(walk, epoch, leaves, pay);
        }
    }

    function _pay(Walk memory walk, uint256 amount) private view {
        Ledger memory ledger = walk.ledger;
        _fund(walk, amount);
        if (ledger.escrow < amount) {
            if (walk.before != AgreementState.GRACE || currentEpoch() <= ledger.graceUntil) {
                walk.stuck = true;
                return;
            }
            amount = ledger.escrow;
            walk.state = AgreementState.LAPSED;
        }
        ledger.escrow -= uint128(amount);
        ledger.paid += uint128(amount);
        ledger.deferred = 0;
        ledger.missBits = _shift(ledger.missBits, 0);
        walk.providerBalance += amount;
        walk.paid += amount;
        ++walk.proven;
    }

    function _miss(Walk memory walk, uint32 epoch, uint64 leaves, uint256 pay) private {
        Ledger memory ledger = walk.ledger;
        ledger.missBits = _shift(ledger.missBits, 1);
        ++ledger.misses;
        ++walk.missed;
        uint256 inWindow = _countBits(ledger.missBits);
        emit Missed(walk.id, epoch, uint32(inWindow));

        uint256 penalty = Math.min(ledger.collateral, uint256(walk.terms.collateral) * penaltyPercent(inWindow) / 100);
        if (penalty != 0) {
            // The client gets what re-replication costs and no more, or it would gain by harming its provider.
            uint256 repair =
                pay * REPAIR_EPOCHS + Pricing.cost(uint256(leaves) * LEAF_SIZE, walk.terms.egressPricePerGib);
            uint256 open = repair > ledger.compensated ? repair - ledger.compensated : 0;
            uint256 toClient = Math.min(penalty, open);
            ledger.collateral -= uint128(penalty);
            ledger.compensated += uint128(toClient);
            ledger.burned += uint128(penalty - toClient);
            walk.clientBalance += toClient;
            walk.burned += penalty - toClient;
            emit Penalised(walk.id, epoch, toClient, penalty - toClient);
        }
        if (inWindow >= FAIL_AT) walk.state = AgreementState.FAILED;
    }

    /// @dev Where the walk leaves the agreement, and the escrow for the epochs ahead.
    function _conclude(Walk memory walk) private view {
        if (!walk.state.live()) return;
        Ledger memory ledger = walk.ledger;
        if (walk.stuck) {
            if (walk.before == AgreementState.GRACE) return;
            walk.state = AgreementState.GRACE;
            ledger.graceUntil = currentEpoch() + uint32(GRACE_EPOCHS);
            return;
        }
        if (ledger.nextEpoch == walk.terms.endEpoch) {
            walk.state = AgreementState.ENDED;
            return;
        }
        // A client that pays a part of what it owes stays in the same grace period.
        if (walk.before == AgreementState.GRACE && ledger.nextEpoch == walk.closed) {
            walk.state = AgreementState.ACTIVE;
            ledger.graceUntil = 0;
        }
        uint256 ahead = Math.min(walk.terms.endEpoch - ledger.nextEpoch, ESCROW_EPOCHS);
        _fund(walk, Pricing.fullCost(walk.terms, ahead) + ledger.deferred);
    }

    /// @dev Writes the walk's outcome down; the only calls to others that change something come last.
    function _close(Walk memory walk, IAgreements agreements) private {
        bool final_ = !walk.state.live();
        Ledger memory ledger = walk.ledger;
        uint256 toClient = final_ ? ledger.escrow : 0;
        uint256 toProvider = final_ ? ledger.collateral : 0;
        if (final_) (ledger.escrow, ledger.collateral, ledger.deferred) = (0, 0, 0);
        _ledger[walk.id] = ledger;
        balanceOf[walk.terms.client] = walk.clientBalance + toClient;
        balanceOf[walk.terms.provider] = walk.providerBalance + toProvider;
        total -= walk.burned;
        _report(walk, final_, toClient, toProvider);

        if (walk.state != walk.before) {
            agreements.transit(walk.id, walk.state, ledger.paid, uint256(ledger.compensated) + ledger.burned);
        }
        if (walk.burned != 0) _credit().burn(walk.burned);
    }

    function _report(Walk memory walk, bool final_, uint256 toClient, uint256 toProvider) private {
        uint32 next = walk.ledger.nextEpoch;
        if (walk.funded != 0) emit EscrowFunded(walk.id, walk.funded);
        if (next != walk.from) {
            emit Settled(walk.id, walk.from, next - 1, walk.proven, walk.missed, walk.voided, walk.paid);
        }
        if (walk.state == AgreementState.GRACE && walk.before != AgreementState.GRACE) {
            emit EscrowEmpty(walk.id, next, walk.ledger.graceUntil);
        }
        if (final_) emit Released(walk.id, toClient, toProvider);
    }

    /// @dev Fills the escrow up to `target` from the client's account, as far as that goes.
    function _fund(Walk memory walk, uint256 target) private pure {
        Ledger memory ledger = walk.ledger;
        if (ledger.escrow >= target) return;
        uint256 moved = Math.min(walk.clientBalance, target - ledger.escrow);
        ledger.escrow += moved.toUint128();
        walk.clientBalance -= moved;
        walk.funded += moved;
    }

    function _load(Walk memory walk, Bits memory bits, uint32 word) private view {
        bits.word = word;
        bits.proven = _proofs().provenWord(walk.id, word);
        bits.beaten = _beacon().beatWord(walk.terms.provider, word);
        (bits.valid, bits.followed) = _beacon().verdictWord(word);
    }

    function _take(uint32 member, uint256 amount) private {
        uint256 balance = balanceOf[member];
        if (balance < amount) revert InsufficientBalance(member, balance, amount);
        balanceOf[member] = balance - amount;
    }

    function _credit() private view returns (ERC20Burnable) {
        return ERC20Burnable(_contract(Kinds.CREDIT));
    }

    /// @dev The window's bits, moved on by one judged epoch.
    function _shift(uint64 bits, uint64 newest) private view returns (uint64) {
        return uint64(((uint256(bits) << 1) | newest) & ((1 << WINDOW) - 1));
    }

    function _countBits(uint64 bits) private pure returns (uint256 number) {
        for (; bits != 0; bits &= bits - 1) {
            ++number;
        }
    }
}
