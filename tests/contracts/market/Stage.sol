// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LedgerView} from "peerage/interfaces/IClearing.sol";
import {StateTable} from "peerage/libraries/StateTable.sol";
import {AgreementState, Params, Possession, Terms} from "peerage/types/Types.sol";
import {Network} from "../Network.sol";
import {SumTrees} from "../SumTrees.sol";
import {Books} from "./Books.sol";
import {Journal} from "./Journal.sol";

/// @notice The network that the actors act on, and the books that are kept beside it.
///
/// Member 1 is a client; 2 an honest provider; 3 a lazy one, that proves when it likes; 4 a lossy one, that keeps its data
/// until it loses some or all; 5 a cheat, that never kept any. Everybody but the honest provider is a client too.
abstract contract Stage is Network, Journal {
    using Books for Books.Book;
    using StateTable for AgreementState;

    uint32 internal constant MEMBERS = 5;
    uint32 internal constant HONEST = 2;
    uint32 internal constant LAZY = 3;
    uint32 internal constant LOSSY = 4;
    uint32 internal constant CHEAT = 5;
    uint256 internal constant RULES_DELAY = 48;
    uint256 internal constant MAX_AGREEMENTS = 16;
    uint256 internal constant MAX_LIVE = 6;
    uint64 internal constant MAX_LEAVES = 1024;
    uint64 internal constant CAPACITY = MAX_LEAVES << 10;

    bytes32[] public ids;
    mapping(bytes32 id => Books.Book) internal book;
    mapping(bytes32 id => AgreementState) public seen;
    /// @dev Leaves of an agreement that its provider has lost, from the first on.
    mapping(bytes32 id => uint64) internal lost;
    mapping(bytes32 id => uint32) internal lostAllIn;
    uint32 public epoch;

    /// @dev What an agreement's keys are bound by, and what it had spent and lost before they signed.
    struct Binding {
        uint256 client;
        uint256 spent;
        uint256 provider;
        uint256 lost;
    }

    mapping(bytes32 id => Binding) internal binding;
    mapping(uint32 member => uint256) public shouldBind;

    mapping(uint32 member => uint256) public deposited;
    mapping(uint32 member => uint256) public withdrawn;

    /// @dev The clock stands at the world's epoch when an actor acts, and the books are brought up to date afterwards.
    modifier act() {
        if (beacon.currentEpoch() != epoch) toEpoch(epoch);
        _;
        _follow();
    }

    error BadTransition(bytes32 id, AgreementState from, AgreementState to);

    function _begin() internal {
        Params memory params;
        params.epochSeconds = uint32(EPOCH);
        params.samples = 2;
        params.graceEpochs = 3;
        params.escrowEpochs = 8;
        params.windowEpochs = 8;
        params.failAt = 4;
        params.standDownAfter = 8;
        deploy(params);
        join(MEMBERS);
        for (uint32 member = 1; member <= MEMBERS; ++member) {
            deposited[member] = START_BALANCE;
        }
        epoch = 2;
        toEpoch(epoch);
        beatAll();
    }

    /// @dev Agreements of the least capacity there is can be full, and still be hashed quickly.
    function treeOf(bytes32 id, uint64 leaves) internal pure override returns (SumTrees.Tree memory) {
        return SumTrees.Tree(id, leaves, false, true);
    }

    function _member(uint8 who) internal pure returns (uint32) {
        return 1 + who % MEMBERS;
    }

    function _inForce() internal view returns (uint256 number) {
        for (uint256 i = 0; i < ids.length; ++i) {
            if (seen[ids[i]].live()) ++number;
        }
    }

    /// @dev Mostly one that is in force: of the others nothing is asked any more.
    function _any(uint8 which) internal view returns (bytes32 id) {
        for (uint256 i = 0; i < ids.length; ++i) {
            id = ids[(which + i) % ids.length];
            if (which > 240 || seen[id].live()) return id;
        }
    }

    /// @dev One that this provider keeps and that is in force; zero if there is none.
    function _anyOf(uint32 provider, uint8 which) internal view returns (bytes32) {
        for (uint256 i = 0; i < ids.length; ++i) {
            bytes32 id = ids[(which + i) % ids.length];
            if (book[id].provider == provider && seen[id].live()) return id;
        }
        return 0;
    }

    function _opened(bytes32 id, Terms memory terms) internal {
        ids.push(id);
        book[id].begin(terms, epoch);
        uint256 full = (uint256(terms.capacity) * terms.pricePerGibEpoch + (1 << 30) - 1) >> 30;
        uint32 start = terms.startEpoch > epoch ? terms.startEpoch : epoch;
        _bind(id, Binding(full * (terms.endEpoch - start), 0, terms.collateral, 0));
    }

    /// @dev The answer to the current challenge, from the leaves that are left; false if one that is asked for is lost.
    function _answer(bytes32 id) internal view returns (bool able, Possession memory answer) {
        (,,,, uint64 leaves, uint64[] memory indices) = proofs.challenge(id, epoch);
        for (uint256 i = 0; i < indices.length; ++i) {
            if (indices[i] < lost[id]) return (false, answer);
        }
        return (leaves != 0, possession(id, epoch));
    }

    function _proveIfAble(bytes32 id) internal {
        (bool due,,,,,) = proofs.challenge(id, epoch);
        if (!due || book[id].proven[epoch] || beacon.lastBeatOf(book[id].provider) != epoch) return;
        (bool able, Possession memory answer) = _answer(id);
        if (!able) return;
        send(book[id].provider, answer);
        book[id].proved(epoch);
    }

    /// @dev Whatever was settled meanwhile is judged in the books too; states are compared with the table.
    function _follow() internal {
        for (uint256 i = 0; i < ids.length; ++i) {
            bytes32 id = ids[i];
            AgreementState state = stateOf(id);
            AgreementState before = seen[id];
            if (state != before) {
                if (!_inTable(before, state)) revert BadTransition(id, before, state);
                seen[id] = state;
            }
            LedgerView memory ledger = clearing.ledgerOf(id);
            if (before.live() && !state.live()) _unbind(id, ledger);
            Books.Book storage kept = book[id];
            if (ledger.bytesDown != kept.bytesCharged) kept.charge(ledger.bytesDown);
            while (kept.next < ledger.nextEpoch) {
                kept.judge(_seen(id, kept.provider, kept.next), lostAllIn[id]);
            }
        }
    }

    function _bind(bytes32 id, Binding memory bound) internal {
        binding[id] = bound;
        shouldBind[book[id].client] += bound.client;
        shouldBind[book[id].provider] += bound.provider;
    }

    /// @dev A key stays bound by what it has spent or lost for good; an appeal may give some of that back meanwhile.
    function _unbind(bytes32 id, LedgerView memory ledger) internal {
        Binding memory bound = binding[id];
        uint256 spent = ledger.paid - bound.spent;
        uint256 taken = ledger.compensated + ledger.burned;
        uint256 lost_ = taken > bound.lost ? taken - bound.lost : 0;
        if (bound.client > spent) shouldBind[book[id].client] -= bound.client - spent;
        if (bound.provider > lost_) shouldBind[book[id].provider] -= bound.provider - lost_;
    }

    function _seen(bytes32 id, uint32 provider, uint32 judged) private view returns (Books.Seen memory) {
        return Books.Seen({
            before: beacon.quorate(judged - 1),
            itself: beacon.quorate(judged),
            after_: beacon.quorate(judged + 1),
            maintenance: (members.maintenanceWord(provider, judged >> 8) >> (judged & 0xff)) & 1 == 1,
            impaired: (proofs.impairedWord(id, judged >> 8) >> (judged & 0xff)) & 1 == 1,
            short: _isShort(id, judged)
        });
    }

    /// @dev Whether what was reported of the provider falls short of the agreement's quality clause.
    function _isShort(bytes32 id, uint32 judged) internal view virtual returns (bool);

    /// @dev node/spec/agreements.md, written again.
    function _inTable(AgreementState from, AgreementState to) private pure returns (bool) {
        if (from == AgreementState.NONE) return to == AgreementState.ACTIVE;
        if (from == AgreementState.ACTIVE) {
            return to == AgreementState.GRACE || to == AgreementState.FAILED || to == AgreementState.ENDED;
        }
        return from == AgreementState.GRACE && to != AgreementState.NONE;
    }
}
