// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @notice What a probe measured, or the median of several. down, up: KiB/s read from and written to the provider. latency:
/// ms, the highest number if nothing was answered. availability: percent of the tries that were answered.
struct Figures {
    uint32 down;
    uint32 up;
    uint32 latency;
    uint8 availability;
}

/// @notice Figures as words, the draw, and medians.
///
/// Figures take 104 bits: down 32, up 32, latency 32, availability 8, from the lowest. A record adds above them the number of
/// reports that it is the median of, 8 bits; a report the legal entity's tag 88, the member 32 and the epoch 32.
library Probes {
    uint256 internal constant FIGURES = (1 << 104) - 1;
    uint256 private constant RECORD = (1 << 112) - 1;

    /// @dev The lowest bit of each lane of 40; a lane's bits.
    uint256 private constant LANES = 1 | 1 << 40 | 1 << 80 | 1 << 120;
    uint256 private constant LANE = (1 << 40) - 1;
    /// @dev Milliseconds, points.
    uint256 private constant LATENCY_SLACK = 50;
    uint256 private constant AVAILABILITY_SLACK = 25;

    /// @notice Whether a member is drawn to probe a provider in an epoch.
    /// @param seed Of that epoch; what it was before, the member could not arrange its link by.
    /// @param link That the member's beat of the next epoch reveals; until then nobody else knows the draw.
    /// @param active Members that count for the quorum that made the seed. committee: of them that are drawn, on average.
    function drawn(bytes32 seed, bytes20 link, uint32 provider, uint256 active, uint256 committee)
        internal
        pure
        returns (bool)
    {
        return active != 0 && uint256(keccak256(abi.encode(seed, link, provider))) % active < committee;
    }

    function pack(Figures calldata figures) internal pure returns (uint256) {
        return uint256(figures.down) | uint256(figures.up) << 32 | uint256(figures.latency) << 64
            | uint256(figures.availability) << 96;
    }

    function unpack(uint256 word) internal pure returns (Figures memory) {
        return Figures(uint32(down(word)), uint32(up(word)), uint32(latency(word)), uint8(availability(word)));
    }

    function down(uint256 word) internal pure returns (uint256) {
        return uint32(word);
    }

    function up(uint256 word) internal pure returns (uint256) {
        return uint32(word >> 32);
    }

    function latency(uint256 word) internal pure returns (uint256) {
        return uint32(word >> 64);
    }

    function availability(uint256 word) internal pure returns (uint256) {
        return uint8(word >> 96);
    }

    /// @notice How many reports a record is the median of; zero if there is no record.
    function reportsIn(uint256 record) internal pure returns (uint256) {
        return uint8(record >> 104);
    }

    /// @notice The record of these reports, at least one: each figure's median by itself, the lower of the two in the middle.
    /// @dev The four figures are compared at once: the rank of a report in a lane is how many reports are below it there.
    function median(uint256[] memory reports) internal pure returns (uint256 record) {
        uint256 length = reports.length;
        uint256[] memory spread = new uint256[](length);
        uint256[] memory ranks = new uint256[](length);
        uint256 found = 0;
        // Lanes never overflow: figures have 32 bits, ranks fewer.
        unchecked {
            for (uint256 i = 0; i < length; ++i) {
                uint256 lanes = _spread(reports[i]);
                uint256 rank = 0;
                for (uint256 j = 0; j < i; ++j) {
                    uint256 above = _atLeast(lanes, spread[j]);
                    rank += above;
                    ranks[j] += LANES ^ above;
                }
                spread[i] = lanes;
                ranks[i] = rank;
            }
            uint256 middle = LANES * ((length - 1) / 2);
            for (uint256 i = 0; i < length; ++i) {
                // The lanes in which this one is in the middle, whole.
                found |= spread[i] & (_atLeast(0, ranks[i] ^ middle) * LANE);
            }
        }
        return length << 104 | _gather(found);
    }

    /// @notice Bit i: the i-th report lies far from the record in some figure: below its half or above its double, where a
    /// latency must be LATENCY_SLACK away, too, or in availability more than AVAILABILITY_SLACK away.
    function outliers(uint256[] memory reports, uint256 record) internal pure returns (uint256 bits) {
        (uint256 low, uint256 high) = _bounds(record);
        unchecked {
            for (uint256 i = 0; i < reports.length; ++i) {
                uint256 lanes = _spread(reports[i]);
                if (_atLeast(lanes, low) & _atLeast(high, lanes) != LANES) bits |= 1 << i;
            }
        }
    }

    /// @notice The record of an epoch in the word that it shares with its neighbour.
    function recordIn(uint256 word, uint256 epoch) internal pure returns (uint256) {
        return (word >> ((epoch & 1) << 7)) & RECORD;
    }

    /// @notice The same word with the record of an epoch put in.
    function withRecord(uint256 word, uint256 epoch, uint256 record) internal pure returns (uint256) {
        uint256 shift = (epoch & 1) << 7;
        return (word & ~(RECORD << shift)) | record << shift;
    }

    /// @dev The lowest and the highest figures that are not far from a record, in lanes.
    function _bounds(uint256 record) private pure returns (uint256 low, uint256 high) {
        unchecked {
            (uint256 delay, uint256 tries) = (latency(record), availability(record));
            uint256 slack = delay > LATENCY_SLACK ? delay - LATENCY_SLACK : 0;
            low = (down(record) + 1) / 2 | ((up(record) + 1) / 2) << 40 | Math.min((delay + 1) / 2, slack) << 80
                | (tries > AVAILABILITY_SLACK ? tries - AVAILABILITY_SLACK : 0) << 120;
            high = down(record) * 2 | (up(record) * 2) << 40 | Math.max(delay * 2, delay + LATENCY_SLACK) << 80
                | (tries + AVAILABILITY_SLACK) << 120;
        }
    }

    /// @dev The figures, each in a lane of 40 bits.
    function _spread(uint256 word) private pure returns (uint256) {
        return down(word) | up(word) << 40 | latency(word) << 80 | availability(word) << 120;
    }

    function _gather(uint256 lanes) private pure returns (uint256) {
        return uint256(uint32(lanes)) | uint256(uint32(lanes >> 40)) << 32 | uint256(uint32(lanes >> 80)) << 64
            | uint256(uint8(lanes >> 120)) << 96;
    }

    /// @dev In each lane 1 if a's is at least b's, or 0. A lane's highest bit is free, so that it survives if nothing is
    /// borrowed.
    function _atLeast(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            return (((a | LANES << 39) - b) >> 39) & LANES;
        }
    }
}
