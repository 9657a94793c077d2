// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementState, Params, Revision, Terms} from "peerage/types/Types.sol";
import {AgreementView} from "peerage/interfaces/IAgreements.sol";
import {StateTable} from "peerage/libraries/StateTable.sol";
import {OnionView} from "peerage/interfaces/IBeacon.sol";
import {Network} from "./Network.sol";

/// @notice What a fuzzer may do to the network: every actor's actions, honest and not, and the record that the invariants are
/// checked against.
contract Market is Network {
    using StateTable for AgreementState;

    uint32 internal constant MEMBERS = 4;
    uint64 internal constant CAPACITY = 64 << 10;

    bytes32[] public ids;
    uint256 public epoch;
    uint256 public deposited;
    uint256 public withdrawn;
    uint256[6] public reached;
    mapping(bytes32 id => uint64) public sequenceSeen;
    mapping(bytes32 id => uint256) public provenEpochs;
    mapping(bytes32 id => Announced) public announced;
    mapping(bytes32 id => uint64) public leavesLeft;

    struct Announced {
        uint64 leaves;
        uint256 epoch;
    }

    error Stolen();

    constructor() {
        deploy(Params(uint32(EPOCH), 0, 2, 3, 8, 8, 4, 0, 8, 0, CAPACITY));
        join(MEMBERS);
        deposited = MEMBERS * START_BALANCE;
        epoch = 2;
        toEpoch(epoch);
        beatAll();
        for (uint8 i = 0; i < 3; ++i) {
            open(i, i + 1, 1e11 * uint64(1 + i), uint64(5 * CREDITS), 59);
            grow(i, 64);
        }
    }

    // Actions

    /// @dev Some epochs in which the same members beat and the same agreements are proven.
    function advance(uint8 beating, uint8 proving, uint8 epochs) external {
        for (uint256 i = 0; i <= epochs % 5; ++i) {
            toEpoch(++epoch);
            for (uint32 member = 1; member <= MEMBERS; ++member) {
                // Mostly all beat, or hardly an epoch would be valid.
                if (beating > 40 || (beating >> (member - 1)) & 1 == 1) beat(member);
            }
            for (uint256 n = 0; n < ids.length; ++n) {
                if (proving > 150 || (proving >> (n % 8)) & 1 == 1) _proveIfDue(ids[n]);
            }
        }
    }

    function stop(uint8 epochs) external {
        epoch += 1 + epochs % 6;
        toEpoch(epoch);
    }

    function open(uint8 from, uint8 to, uint64 price, uint64 collateral, uint8 term) public {
        _now();
        if (ids.length == 8) return;
        uint32 client = 1 + from % MEMBERS;
        uint32 provider = 1 + to % MEMBERS;
        if (client == provider) provider = 1 + provider % MEMBERS;
        Terms memory terms = termsFor(client, provider);
        terms.capacity = CAPACITY;
        terms.pricePerGibEpoch = uint64(bound(price, 0, 1e12));
        terms.collateral = uint64(bound(collateral, 0, 50 * CREDITS));
        terms.endEpoch = terms.startEpoch + 1 + term % 60;
        terms.minRetentionEpochs = term % 7;
        terms.egressPricePerGib = terms.pricePerGibEpoch / 7;
        if (agreements.promised(terms.provider) + CAPACITY > GIB) return;
        uint256 full = (uint256(CAPACITY) * terms.pricePerGibEpoch + GIB - 1) / GIB;
        uint256 escrow = full * (terms.endEpoch - terms.startEpoch < 8 ? terms.endEpoch - terms.startEpoch : 8);
        if (clearing.balanceOf(terms.client) < escrow || clearing.balanceOf(terms.provider) < terms.collateral) return;
        ids.push(open(terms));
    }

    function grow(uint8 which, uint8 leaves) public {
        _now();
        if (ids.length == 0) return;
        bytes32 id = ids[which % ids.length];
        AgreementView memory shown = agreements.get(id);
        if (shown.state != AgreementState.ACTIVE || epoch >= shown.terms.endEpoch) return;
        revise(id, uint64(bound(leaves, shown.leaves == 0 ? 1 : shown.leaves, 64)));
        sequenceSeen[id] = shown.sequence + 1;
        leavesLeft[id] = agreements.get(id).leaves;
    }

    /// @dev By a node key or an account, mostly the client's, of any number of leaves.
    function announceRemoval(uint8 who, uint8 which, uint8 leaves) external {
        _now();
        if (ids.length == 0) return;
        bytes32 id = ids[which % ids.length];
        AgreementView memory shown = agreements.get(id);
        leaves %= 70;
        uint32 member = _actor(who, shown.terms.client);
        bool allowed = member == shown.terms.client && shown.state == AgreementState.ACTIVE && announced[id].leaves == 0
            && leaves != 0 && leaves <= leavesLeft[id];
        vm.prank(who & 1 == 0 ? node(member) : account(member));
        try agreements.announceRemoval(id, "objects", leaves) {
            require(allowed, "announced");
            announced[id] = Announced(leaves, epoch);
        } catch {
            require(!allowed, "not announced");
        }
    }

    function cancelRemoval(uint8 who, uint8 which) external {
        _now();
        if (ids.length == 0) return;
        bytes32 id = ids[which % ids.length];
        uint32 client = agreements.get(id).terms.client;
        uint32 member = _actor(who, client);
        bool allowed = member == client && announced[id].leaves != 0;
        vm.prank(who & 1 == 0 ? node(member) : account(member));
        try agreements.cancelRemoval(id) {
            require(allowed, "cancelled");
            delete announced[id];
        } catch {
            require(!allowed, "not cancelled");
        }
    }

    /// @dev Both sides sign whatever it is: only the contract stands between a stolen key and the data.
    function shrink(uint8 which, uint8 leaves) external {
        _now();
        if (ids.length == 0) return;
        bytes32 id = ids[which % ids.length];
        AgreementView memory shown = agreements.get(id);
        // Mostly what was announced: other numbers are always refused.
        uint64 gone = leaves < 192 ? announced[id].leaves : leaves % 64;
        if (gone == 0 || gone >= leavesLeft[id]) return;
        bool allowed = shown.state == AgreementState.ACTIVE && epoch < shown.terms.endEpoch
            && gone == announced[id].leaves && epoch >= announced[id].epoch + shown.terms.minRetentionEpochs;
        Revision memory revision = nextRevision(id, leavesLeft[id] - gone);
        bytes memory ours = signRevision(nodeKey[shown.terms.client], revision);
        bytes memory theirs = signRevision(nodeKey[shown.terms.provider], revision);
        try agreements.revise(revision, ours, theirs) {
            require(allowed, "shrunk");
            delete announced[id];
            leavesLeft[id] -= gone;
            ++sequenceSeen[id];
        } catch {
            require(!allowed, "not shrunk");
        }
    }

    function settle(uint8 which, bool late) external {
        if (ids.length == 0) return;
        _now();
        if (late) toSecondHalf();
        clearing.settle(ids[which % ids.length]);
        _look();
    }

    function settleAll() external {
        _now();
        toSecondHalf();
        clearing.settleMany(ids);
        _look();
    }

    function deposit(uint8 who, uint64 amount) external {
        uint256 given = bound(amount, 0, 20 * CREDITS);
        deposit(1 + who % MEMBERS, given);
        deposited += given;
    }

    /// @dev Often everything, so that escrows run dry.
    function withdraw(uint8 who, uint8 percent) external {
        uint32 member = 1 + who % MEMBERS;
        uint256 taken = clearing.balanceOf(member) * (percent < 100 ? percent : 100) / 100;
        vm.prank(account(member));
        clearing.withdraw(taken, account(member));
        withdrawn += taken;
    }

    function withdrawTooMuch(uint8 who, uint64 more) external {
        uint32 member = 1 + who % MEMBERS;
        uint256 wanted = clearing.balanceOf(member) + bound(more, 1, 1e18);
        vm.prank(account(member));
        try clearing.withdraw(wanted, account(member)) {
            revert Stolen();
        } catch {}
    }

    function steal(uint8 who, uint8 which, uint64 amount) external {
        address thief = node(1 + who % MEMBERS);
        bytes32 id = ids.length == 0 ? bytes32(0) : ids[which % ids.length];
        Terms memory terms = termsFor(1, 2);
        vm.startPrank(thief);
        try clearing.withdraw(amount, thief) {
            revert Stolen();
        } catch {}
        try agreements.transit(id, AgreementState.ENDED, 0, 0) {
            revert Stolen();
        } catch {}
        try clearing.hold("stolen", terms) {
            revert Stolen();
        } catch {}
        vm.stopPrank();
    }

    function standDown(uint8 who) external {
        _now();
        uint32 member = 1 + who % MEMBERS;
        OnionView memory onion = beacon.onionOf(member);
        bool silent = onion.counted && epoch > (onion.lastBeat > onion.since ? onion.lastBeat : onion.since) + 8;
        try beacon.standDown(member) {
            require(silent, "stood down too early");
        } catch {
            require(!silent, "not stood down");
        }
    }

    // What the invariants compare

    function number() external view returns (uint256) {
        return ids.length;
    }

    function sumOfAccounts() external view returns (uint256 sum) {
        for (uint32 member = 1; member <= MEMBERS; ++member) {
            sum += clearing.balanceOf(member);
        }
    }

    function sumOfHoldings() external view returns (uint256 sum) {
        for (uint256 i = 0; i < ids.length; ++i) {
            sum += clearing.escrowOf(ids[i]) + clearing.collateralOf(ids[i]);
        }
    }

    function sumBurned() external view returns (uint256 sum) {
        for (uint256 i = 0; i < ids.length; ++i) {
            sum += clearing.ledgerOf(ids[i]).burned;
        }
    }

    function tokenBalance() external view returns (uint256) {
        return credit.balanceOf(address(clearing));
    }

    function total() external view returns (uint256) {
        return clearing.total();
    }

    function viewOf(uint256 index) external view returns (AgreementView memory) {
        return agreements.get(ids[index]);
    }

    function pendingOf(bytes32 id) external view returns (uint64) {
        return agreements.removalOf(id).leaves;
    }

    function paid(uint256 index) external view returns (uint256) {
        return clearing.ledgerOf(ids[index]).paid;
    }

    function lost(uint256 index) external view returns (uint256) {
        return clearing.ledgerOf(ids[index]).burned + clearing.ledgerOf(ids[index]).compensated;
    }

    function promisedBy(uint32 provider) external view returns (uint256 recorded, uint256 offered, uint256 summed) {
        recorded = agreements.promised(provider);
        offered = members.offerOf(provider).capacity;
        for (uint256 i = 0; i < ids.length; ++i) {
            AgreementView memory shown = agreements.get(ids[i]);
            if (shown.terms.provider == provider && shown.state.live()) summed += shown.terms.capacity;
        }
    }

    function boundBy(uint32 member) external view returns (uint256) {
        return agreements.boundBy(node(member));
    }

    function _actor(uint8 who, uint32 client) private pure returns (uint32) {
        return who < 192 ? client : 1 + (who >> 1) % MEMBERS;
    }

    function _now() private {
        toEpoch(epoch);
    }

    function _proveIfDue(bytes32 id) private {
        (bool due,,,,,) = proofs.challenge(id, uint32(epoch));
        if (!due) return;
        prove(id);
        ++provenEpochs[id];
    }

    function _look() private {
        for (uint256 i = 0; i < ids.length; ++i) {
            ++reached[uint256(stateOf(ids[i]))];
        }
    }
}
