// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Probes} from "./Probes.sol";

/// @notice What quality an agreement's terms ask for, in the word `Terms.qualityClause`; a zero word asks for none.
///
/// From the highest bits: version 8 (1), least throughput of reads and of writes 32 each (KiB/s), highest latency 32 (ms, zero
/// for any), percent of an epoch's pay that is withheld 8 (1 to 100); the rest is zero.
library QualityClause {
    uint256 private constant VERSION = 1;

    /// @notice Whether terms may have this clause.
    function isValid(bytes32 clause) internal pure returns (bool) {
        if (clause == 0) return true;
        uint256 withheld = percent(clause);
        return uint256(clause) >> 248 == VERSION && uint144(uint256(clause)) == 0 && withheld != 0 && withheld <= 100;
    }

    /// @notice Percent of the pay that is withheld for an epoch whose record falls short.
    function percent(bytes32 clause) internal pure returns (uint256) {
        return uint8(uint256(clause) >> 144);
    }

    /// @notice Whether a record falls short of what the clause asks for; no record never does.
    /// @param record As Probes packs it.
    function isShort(bytes32 clause, uint256 record) internal pure returns (bool) {
        if (Probes.reportsIn(record) == 0) return false;
        uint256 word = uint256(clause);
        uint256 maxLatency = uint32(word >> 152);
        return Probes.down(record) < uint32(word >> 216) || Probes.up(record) < uint32(word >> 184)
            || (maxLatency != 0 && Probes.latency(record) > maxLatency);
    }
}
