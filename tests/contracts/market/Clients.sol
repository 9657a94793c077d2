// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {StateTable} from "peerage/libraries/StateTable.sol";
import {AgreementState, Revision, Terms} from "peerage/types/Types.sol";
import {Books} from "./Books.sol";
import {Stage} from "./Stage.sol";

/// @notice What clients do, honest and not. Both sides always sign: what the contracts refuse, signatures do not buy.
abstract contract Clients is Stage {
    using Books for Books.Book;
    using StateTable for AgreementState;

    Revision private _lastRevision;

    function open(uint8 from, uint8 to, uint64 price, uint64 collateral, uint8 term) public act {
        if (ids.length == MAX_AGREEMENTS || _inForce() == MAX_LIVE) return;
        uint32 client = _member(from);
        uint32 provider = _member(to);
        if (client == HONEST || client == provider) client = 1;
        if (client == provider) provider = HONEST;
        Terms memory terms = termsFor(client, provider);
        terms.capacity = CAPACITY;
        terms.pricePerGibEpoch = uint64(bound(price, 0, 6e10));
        terms.egressPricePerGib = terms.pricePerGibEpoch / 7;
        terms.collateral = uint64(bound(collateral, 0, 50 * CREDITS));
        terms.startEpoch = epoch + term % 3;
        terms.endEpoch = terms.startEpoch + 4 + term % 60;
        terms.minRetentionEpochs = term % 7;
        // Every other one withholds some of the pay below 500 KiB/s.
        if (term % 2 == 1) terms.qualityClause = bytes32(1 << 248 | 500 << 216 | uint256(1 + term % 100) << 144);
        bytes memory ours = signTerms(nodeKey[client], terms);
        bytes memory theirs = signTerms(nodeKey[provider], terms);
        try agreements.open(terms, ours, theirs) returns (bytes32 id) {
            _opened(id, terms);
            _done();
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }

    function grow(uint8 which, uint16 leaves) public act {
        if (ids.length == 0) return;
        bytes32 id = _any(which);
        uint64 now_ = book[id].newest();
        _revise(id, nextRevision(id, uint64(bound(leaves, now_ == 0 ? 1 : now_, MAX_LEAVES))));
    }

    /// @dev Without an announcement, or with one: exactly what was announced goes, when it may.
    function shrink(uint8 which, uint16 leaves) external act {
        bytes32 id = _withRemoval(which);
        if (id == 0) return;
        Books.Book storage kept = book[id];
        // Mostly what was announced: other numbers are always refused.
        uint64 gone = leaves % 4 != 0 ? kept.removal : leaves % MAX_LEAVES;
        if (gone == 0 || gone >= kept.newest()) return;
        bool allowed = gone == kept.removal && epoch >= kept.removalSince + kept.minRetention;
        bool done = _revise(id, nextRevision(id, kept.newest() - gone));
        require(allowed || !done, "shrunk");
        if (done) kept.removal = 0;
    }

    /// @dev A revision that was recorded is sent again; or one skips a number, has expired, or follows another than the newest.
    function replay(uint8 which, uint8 how) external act {
        if (_lastRevision.version == 0 || ids.length == 0) return;
        Revision memory revision = _lastRevision;
        if (how % 4 != 0) {
            bytes32 id = _any(which);
            if (book[id].newest() == 0) return;
            revision = nextRevision(id, book[id].newest());
            revision.bytesDown = book[id].bytesDown;
            if (how % 4 == 1) ++revision.sequence;
            if (how % 4 == 2) revision.expires = epoch - 1;
            if (how % 4 == 3) revision.previous = keccak256("another");
        }
        require(!_revise(revision.agreement, revision), "replayed");
    }

    /// @dev By a node key or an account, mostly the client's, of any number of leaves.
    function announceRemoval(uint8 who, uint8 which, uint16 leaves) external act {
        if (ids.length == 0) return;
        bytes32 id = _any(which);
        Books.Book storage kept = book[id];
        leaves %= uint16(MAX_LEAVES) + 64;
        uint32 member = who < 192 ? kept.client : _member(who);
        bool allowed = member == kept.client && kept.removal == 0 && leaves != 0 && leaves <= kept.newest();
        vm.prank(who & 1 == 0 ? node(member) : account(member));
        try agreements.announceRemoval(id, "objects", leaves) {
            require(allowed, "announced");
            (kept.removal, kept.removalSince) = (leaves, epoch);
            _done();
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }

    function cancelRemoval(uint8 who, uint8 which) external act {
        if (ids.length == 0) return;
        bytes32 id = _any(which);
        Books.Book storage kept = book[id];
        uint32 member = who < 192 ? kept.client : _member(who);
        bool allowed = member == kept.client && kept.removal != 0;
        vm.prank(who & 1 == 0 ? node(member) : account(member));
        try agreements.cancelRemoval(id) {
            require(allowed, "cancelled");
            kept.removal = 0;
            _done();
        } catch (bytes memory reason) {
            require(!allowed, "not cancelled");
            _refused(reason);
        }
    }

    function pay(uint8 who, uint64 amount) external act {
        uint256 given = bound(amount, 0, 20 * CREDITS);
        deposit(_member(who), given);
        deposited[_member(who)] += given;
        _done();
    }

    /// @dev Often everything, so that escrows run dry; or more than that.
    function withdraw(uint8 who, uint16 percent) external act {
        uint32 member = _member(who);
        uint256 owned = clearing.balanceOf(member);
        uint256 wanted = percent < 200 ? owned * (percent < 100 ? percent : 100) / 100 : owned + percent;
        vm.prank(account(member));
        try clearing.withdraw(wanted, account(member)) {
            require(wanted <= owned, "withdrew more than it owned");
            withdrawn[member] += wanted;
            _done();
        } catch (bytes memory reason) {
            require(wanted > owned, "could not withdraw its own");
            _refused(reason);
        }
    }

    /// @dev One in force whose client has announced a removal.
    function _withRemoval(uint8 which) private view returns (bytes32) {
        for (uint256 i = 0; i < ids.length; ++i) {
            bytes32 id = ids[(which + i) % ids.length];
            if (book[id].removal != 0 && seen[id].live()) return id;
        }
        return 0;
    }

    function _revise(bytes32 id, Revision memory revision) private returns (bool done) {
        Books.Book storage kept = book[id];
        if (revision.sequence == kept.sequence + 1) {
            revision.bytesDown = kept.bytesDown + uint64(uint256(keccak256(abi.encode(epoch))) % (8 << 20));
        }
        bytes memory ours = signRevision(nodeKey[kept.client], revision);
        bytes memory theirs = signRevision(nodeKey[kept.provider], revision);
        try agreements.revise(revision, ours, theirs) {
            kept.revised(revision.leaves, revision.bytesDown, epoch);
            _lastRevision = revision;
            _done();
            return true;
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }
}
