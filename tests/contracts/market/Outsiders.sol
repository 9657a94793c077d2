// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {OnionView} from "peerage/interfaces/IBeacon.sol";
import {AgreementState, Params, Terms} from "peerage/types/Types.sol";
import {Stage} from "./Stage.sol";

/// @notice What anybody may do, and what nobody may; and what the consortium does.
abstract contract Outsiders is Stage {
    function settle(uint8 which, bool late) external act {
        if (ids.length == 0) return;
        if (late) toSecondHalf();
        clearing.settle(_any(which));
        _done();
    }

    function settleAll() external act {
        toSecondHalf();
        clearing.settleMany(ids);
        _done();
    }

    function standDown(uint8 who) external act {
        uint32 member = _member(who);
        OnionView memory onion = beacon.onionOf(member);
        bool silent = onion.counted && epoch > (onion.lastBeat > onion.since ? onion.lastBeat : onion.since) + 8;
        try beacon.standDown(member) {
            require(silent, "stood down too early");
            _done();
        } catch (bytes memory reason) {
            require(!silent, "not stood down");
            _refused(reason);
        }
    }

    /// @dev A member's node key, or nobody's, calls what is for the contracts and for accounts.
    function steal(uint8 who, uint8 which, uint64 amount) external act {
        address thief = who % 2 == 0 ? node(_member(who)) : makeAddr("thief");
        bytes32 id = ids.length == 0 ? bytes32(0) : _any(which);
        _steal(thief, address(clearing), abi.encodeCall(clearing.withdraw, (amount, thief)));
        _steal(thief, address(agreements), abi.encodeCall(agreements.transit, (id, AgreementState.ENDED, 0, 0)));
        Terms memory terms = termsFor(1, 2);
        _steal(thief, address(clearing), abi.encodeCall(clearing.hold, ("stolen", terms)));
        _steal(thief, address(credit), abi.encodeCall(credit.mint, (thief, amount)));
    }

    function _steal(address thief, address from, bytes memory data) internal {
        vm.prank(thief);
        (bool done, bytes memory reason) = from.call(data);
        require(!done, "stolen");
        _refused(reason);
    }

    /// @dev The consortium suspends a member now and then, and soon thinks better of it.
    function suspend(uint8 who) external act {
        uint32 member = _member(who);
        bool suspends = who > 192;
        vm.prank(operator);
        (bool done, bytes memory reason) = address(members)
            .call(suspends ? abi.encodeCall(members.suspend, member) : abi.encodeCall(members.reinstate, member));
        if (done) _done();
        else _refused(reason);
    }

    /// @dev The consortium changes the market's rules, or takes the change back; others cannot, and nobody at once.
    function changeRules(uint8 who, uint8 ahead, uint8 window, uint8 failAt, uint8 samples, bool back) external act {
        Params memory params = directory.params();
        params.windowEpochs = 4 + window % 16;
        params.failAt = 1 + failAt % params.windowEpochs;
        params.samples = uint16(1 + samples % 4);
        bool owns = who < 240;
        uint32 from = epoch + ahead % 64;
        bytes memory data =
            back ? abi.encodeCall(directory.cancelRules, ()) : abi.encodeCall(directory.announceRules, (params, from));
        vm.prank(owns ? operator : node(_member(who)));
        (bool done, bytes memory reason) = address(directory).call(data);
        require(!done || (owns && (back || from >= epoch + RULES_DELAY)), "rules changed");
        if (done) _done();
        else _refused(reason);
    }
}
