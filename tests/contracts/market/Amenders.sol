// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Deal} from "peerage/interfaces/IAgreements.sol";
import {LedgerView} from "peerage/interfaces/IClearing.sol";
import {TypedData} from "peerage/libraries/TypedData.sol";
import {Amendment} from "peerage/types/Types.sol";
import {Books} from "./Books.sol";
import {Stage} from "./Stage.sol";

/// @notice Both sides change what they agreed on, or one leaves early.
abstract contract Amenders is Stage {
    using Books for Books.Book;

    mapping(uint32 member => uint256) public exitPaid;
    mapping(uint32 member => uint256) public exitEarned;

    /// @dev Growth, renewal, other prices, more collateral, an earlier end; or what is always refused.
    function amend(uint8 which, uint8 kind, uint64 amount) external act {
        if (ids.length == 0) return;
        bytes32 id = _any(which);
        Amendment memory changed = _asItIs(id);
        uint8 chosen = kind % 8;
        if (chosen == 0) changed.capacity += uint64(bound(amount, 0, 4 << 20));
        if (chosen == 1) changed.endEpoch += uint32(amount % 30);
        if (chosen == 2) changed.pricePerGibEpoch = uint64(bound(amount, 0, 6e10));
        if (chosen == 3) changed.collateral += uint64(bound(amount, 0, 10 * CREDITS));
        if (chosen == 4) changed.endEpoch = epoch + uint32(amount % 16);
        if (chosen == 5) changed.number += 1;
        if (chosen == 6 && changed.collateral != 0) changed.collateral -= 1;
        if (chosen == 7) changed.expires = epoch - 1;
        uint32 client = book[id].client;
        uint32 provider = book[id].provider;
        bytes memory ours = sign(nodeKey[client], keccak256(abi.encode(TypedData.AMENDMENT, changed)));
        bytes memory theirs = sign(nodeKey[provider], keccak256(abi.encode(TypedData.AMENDMENT, changed)));
        uint64 collateral = agreements.get(id).terms.collateral;
        try amendments.amend(changed, ours, theirs) {
            require(chosen < 5 || (chosen == 6 && collateral == 0), "amended");
            _amended(id, changed);
            _done();
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }

    /// @dev An account of either side, or somebody else, ends it early against the cost.
    function exit(uint8 who, uint8 which) external act {
        if (ids.length == 0) return;
        bytes32 id = _any(which);
        clearing.settle(id);
        Books.Book storage kept = book[id];
        uint32 member = who < 96 ? kept.client : (who < 192 ? kept.provider : _member(who));
        // The honest provider stays.
        if (member == HONEST) return;
        uint256 earned = clearing.balanceOf(kept.provider);
        vm.prank(who % 8 == 0 ? node(member) : account(member));
        try amendments.exit(id) {
            require(who % 8 != 0 && (member == kept.client || member == kept.provider), "left");
            kept.end = agreements.get(id).terms.endEpoch;
            if (member == kept.client) {
                uint256 fee = clearing.balanceOf(kept.provider) - earned;
                exitPaid[kept.client] += fee;
                exitEarned[kept.provider] += fee;
            }
            _done();
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }

    function _asItIs(bytes32 id) private view returns (Amendment memory) {
        Deal memory terms = agreements.get(id).terms;
        return Amendment({
            version: 1,
            agreement: id,
            number: agreements.get(id).amendments + 1,
            capacity: terms.capacity,
            pricePerGibEpoch: terms.pricePerGibEpoch,
            egressPricePerGib: terms.egressPricePerGib,
            collateral: terms.collateral,
            minRetentionEpochs: terms.minRetentionEpochs,
            endEpoch: terms.endEpoch,
            expires: epoch + 2,
            extension: 0
        });
    }

    function _amended(bytes32 id, Amendment memory changed) private {
        Books.Book storage kept = book[id];
        _follow(); // what was settled before is judged by the old price
        LedgerView memory ledger = clearing.ledgerOf(id);
        _unbind(id, ledger);
        kept.price = changed.pricePerGibEpoch;
        kept.egressPrice = changed.egressPricePerGib;
        kept.end = changed.endEpoch;
        uint256 full = (uint256(changed.capacity) * changed.pricePerGibEpoch + (1 << 30) - 1) >> 30;
        uint256 ahead = full * (changed.endEpoch - ledger.nextEpoch) + ledger.deferred;
        uint256 taken = ledger.compensated + ledger.burned;
        _bind(id, Binding(ahead, ledger.paid, changed.collateral - taken, taken));
    }
}
