// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementView} from "peerage/interfaces/IAgreements.sol";
import {LedgerView} from "peerage/interfaces/IClearing.sol";
import {Docket, DocketState} from "peerage/interfaces/IDockets.sol";
import {Amenders} from "./Amenders.sol";
import {Appeals} from "./Appeals.sol";
import {Books} from "./Books.sol";
import {Clients} from "./Clients.sol";
import {Demanders} from "./Demanders.sol";
import {Outsiders} from "./Outsiders.sol";
import {Probers} from "./Probers.sol";
import {Providers} from "./Providers.sol";

/// @notice Everything that a fuzzer may do to the network, and what the invariants compare.
contract Market is Clients, Amenders, Providers, Probers, Demanders, Appeals, Outsiders {
    using Books for Books.Book;

    /// @dev Where an agreement stands, and where the books say that it should.
    struct Compared {
        bytes32 id;
        AgreementView shown;
        LedgerView ledger;
        uint32 client;
        uint32 provider;
        uint256 paid;
        uint256 lastPay;
        uint256 deferred;
        uint256 misses;
        uint64 sequence;
        uint64 leaves;
        uint64 removal;
        uint64 announced;
        uint32 lastProven;
        uint32 lostAllIn;
        uint256 owedUntilLost;
        uint256 waitingForClient;
        uint256 waitingToBurn;
    }

    constructor() {
        _begin();
        for (uint8 i = 0; i < 4; ++i) {
            open(0, i + 1, 1e10 * uint64(1 + i), uint64(5 * CREDITS), 59);
            grow(i, 1024);
        }
    }

    function number() external view returns (uint256) {
        return ids.length;
    }

    function compared(uint256 index) external view returns (Compared memory found) {
        bytes32 id = ids[index];
        Books.Book storage kept = book[id];
        found.id = id;
        found.shown = agreements.get(id);
        found.ledger = clearing.ledgerOf(id);
        (found.client, found.provider) = (kept.client, kept.provider);
        (found.paid, found.lastPay) = (kept.paid, kept.lastPay);
        (found.deferred, found.misses) = (kept.deferred, kept.misses);
        (found.sequence, found.leaves) = (kept.sequence, kept.newest());
        (found.removal, found.announced) = (kept.removal, agreements.removalOf(id).leaves);
        Docket[] memory dockets = clearing.docketsOf(id);
        for (uint256 i = 0; i < dockets.length; ++i) {
            if (dockets[i].state != DocketState.OPEN && dockets[i].state != DocketState.APPEALED) continue;
            found.waitingForClient += dockets[i].toClient;
            found.waitingToBurn += dockets[i].burned;
        }
        (found.lastProven, found.lostAllIn) = (kept.lastProven, lostAllIn[id]);
        found.owedUntilLost = kept.traffic + kept.possible;
    }

    function isHonest(uint32 member) external pure returns (bool) {
        return member == HONEST;
    }

    function isCheat(uint32 member) external pure returns (bool) {
        return member == CHEAT;
    }

    function balanceOf(uint32 member) external view returns (uint256) {
        return clearing.balanceOf(member);
    }

    function memberCount() external pure returns (uint32) {
        return MEMBERS;
    }

    function tokenBalance() external view returns (uint256) {
        return credit.balanceOf(address(clearing));
    }

    function reserved() external view returns (uint256) {
        return clearing.reserved();
    }

    function total() external view returns (uint256) {
        return clearing.total();
    }

    /// @return recorded What the contract counts. offered: the standing offer.
    function promisedBy(uint32 provider) external view returns (uint256 recorded, uint256 offered) {
        return (agreements.promised(provider), members.offerOf(provider).capacity);
    }

    /// @return bound_ What the member's node key has bound. limit: what it may.
    function boundBy(uint32 member) external view returns (uint256 bound_, uint256 limit) {
        (,, limit) = members.authority(node(member));
        bound_ = agreements.boundBy(node(member));
    }
}
