// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Docket, DocketState} from "peerage/interfaces/IDockets.sol";
import {Stage} from "./Stage.sol";

/// @notice What is done about heavy penalties: providers appeal, the consortium decides, anybody concludes; in time or not.
abstract contract Appeals is Stage {
    function appeal(uint8 who, uint8 which, uint8 number) external act {
        (bytes32 id, uint32 chosen, Docket memory docket) = _docket(which, number);
        if (docket.state == DocketState.NONE) return;
        uint32 member = who < 192 ? book[id].provider : _member(who);
        bool allowed = docket.state == DocketState.OPEN && epoch <= docket.appealUntil && member == book[id].provider;
        vm.prank(node(member));
        try clearing.appeal(id, chosen, "the disk was fine") {
            require(allowed, "appealed");
            _done();
        } catch (bytes memory reason) {
            require(!allowed, "not appealed");
            _refused(reason);
        }
    }

    function decide(uint8 who, uint8 which, uint8 number, bool cancelled) external act {
        (bytes32 id, uint32 chosen, Docket memory docket) = _docket(which, number);
        if (docket.state == DocketState.NONE) return;
        bool allowed = docket.state == DocketState.APPEALED && epoch <= docket.decideUntil && who < 224;
        vm.prank(who < 224 ? operator : node(_member(who)));
        try clearing.decide(id, chosen, cancelled) {
            require(allowed, "decided");
            _done();
        } catch (bytes memory reason) {
            require(!allowed, "not decided");
            _refused(reason);
        }
    }

    function conclude(uint8 which, uint8 number) external act {
        (bytes32 id, uint32 chosen, Docket memory docket) = _docket(which, number);
        if (docket.state == DocketState.NONE) return;
        bool waiting = docket.state == DocketState.OPEN || docket.state == DocketState.APPEALED;
        bool allowed = waiting && epoch > (docket.decideUntil == 0 ? docket.appealUntil : docket.decideUntil);
        try clearing.conclude(id, chosen) {
            require(allowed, "concluded");
            _done();
        } catch (bytes memory reason) {
            require(!allowed, "not concluded");
            _refused(reason);
        }
    }

    /// @dev Mostly one that waits, of any agreement from `which` on.
    function _docket(uint8 which, uint8 number) private view returns (bytes32 id, uint32 chosen, Docket memory docket) {
        for (uint256 i = 0; i < ids.length; ++i) {
            id = ids[(uint256(which) + i) % ids.length];
            Docket[] memory all = clearing.docketsOf(id);
            for (uint256 n = 0; n < all.length; ++n) {
                chosen = uint32((uint256(number) + n) % all.length);
                docket = all[chosen];
                bool waiting = docket.state == DocketState.OPEN || docket.state == DocketState.APPEALED;
                if (waiting || number > 224) return (id, chosen, docket);
            }
        }
    }
}
