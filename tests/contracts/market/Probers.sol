// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Probe} from "peerage/interfaces/IQuality.sol";
import {Figures} from "peerage/libraries/Probes.sol";
import {Weather} from "./Weather.sol";

/// @notice What probers say of providers, true or not, and the records that it should come to. All members are drawn: there
/// are as many as the committee has.
abstract contract Probers is Weather {
    mapping(uint32 provider => mapping(uint32 epoch => uint32[])) private _told;

    /// @dev A day on which members report on a provider for the epoch before; now and then one stays silent.
    function probe(uint8 on, uint8 silent, uint32 rate) external act {
        _day(silent, 255);
        uint32 provider = _member(on);
        for (uint32 member = 1; member <= MEMBERS; ++member) {
            if (silent % 16 == member) continue;
            uint32 down = uint32(uint256(keccak256(abi.encode(rate, member))) % 1000);
            Probe[] memory probes = new Probe[](1);
            probes[0] = Probe(provider, Figures(down, rate, silent, 100));
            vm.prank(node(member));
            try quality.report(epoch - 1, probes) {
                require(member != provider && beacon.lastBeatOf(member) == epoch, "reported out of turn");
                _told[provider][epoch - 1].push(down);
                _done();
            } catch (bytes memory reason) {
                _refused(reason);
            }
        }
    }

    /// @dev The median that has as many reports below it as above, found the long way.
    function _isShort(bytes32 id, uint32 judged) internal view override returns (bool) {
        uint32[] storage told = _told[book[id].provider][judged];
        if (told.length < 3) return false;
        for (uint256 i = 0; i < told.length; ++i) {
            uint256 before;
            for (uint256 j = 0; j < told.length; ++j) {
                if (told[j] < told[i] || (told[j] == told[i] && j < i)) ++before;
            }
            if (before == (told.length - 1) / 2) return told[i] < book[id].minDown;
        }
        revert("no median");
    }
}
