// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Stage} from "./Stage.sol";

/// @notice Time: epochs in which nodes do their work, and the chain's outages.
abstract contract Weather is Stage {
    /// @dev Some epochs. The honest provider beats and proves; the others as `beating` and `proving` have it.
    function advance(uint8 beating, uint8 proving, uint8 epochs) external act {
        for (uint256 i = 0; i <= epochs % 4; ++i) {
            _day(beating, proving);
        }
        _done();
    }

    /// @dev The chain stands still for whole epochs.
    function outage(uint8 epochs) external act {
        epoch += 1 + epochs % 6;
        toEpoch(epoch);
        _done();
    }

    /// @dev It stops in the middle of an epoch, after the beats and before the proofs, and is back in time for no beats.
    function outageInMidEpoch(uint8 epochs) external act {
        toEpoch(++epoch);
        _beats(255);
        epoch += 2 + epochs % 4;
        toEpoch(epoch);
        _done();
    }

    /// @dev The next epoch, in which everybody does what it is to do.
    function _day(uint8 beating, uint8 proving) internal {
        toEpoch(++epoch);
        _beats(beating);
        for (uint256 n = 0; n < ids.length; ++n) {
            uint32 provider = book[ids[n]].provider;
            bool works = provider == HONEST || provider == LOSSY || (proving >> (n % 8)) & 1 == 1;
            if (works && provider != CHEAT && beacon.lastBeatOf(provider) == epoch) _proveIfAble(ids[n]);
            _duties();
        }
    }

    /// @dev Mostly all beat, or hardly an epoch would be valid; the honest provider always does.
    function _beats(uint8 beating) private {
        for (uint32 member = 1; member <= MEMBERS; ++member) {
            if (member == HONEST || beating > 60 || (beating >> (member - 1)) & 1 == 1) beat(member);
        }
    }

    /// @dev What the honest provider does besides.
    function _duties() internal virtual;
}
