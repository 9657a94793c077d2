// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Bits} from "peerage/libraries/Bits.sol";
import {Facts, Settlement} from "peerage/libraries/Settlement.sol";

/// @notice What holds of the clearing's arithmetic for every input, proven by halmos (scripts/assure halmos).
contract SymbolicClearingTest {
    /// @dev A penalty is split without a rest, and takes no more than there is.
    function check_aPenaltyIsSplitWholly(uint64 collateral, uint64 left, uint80 repair, uint80 compensated)
        external
        pure
    {
        (uint256 toClient, uint256 burned) = Settlement.penalty(collateral, left, 20, repair, compensated);
        assert(toClient + burned <= left);
        uint256 most = uint256(collateral) * 20 / 100;
        assert(toClient + burned == (most < left ? most : left));
    }

    /// @dev So a client never gains by harming its provider.
    function check_aClientGetsNoMoreThanTheRepairCosts(
        uint64 collateral,
        uint64 left,
        uint8 percent,
        uint80 repair,
        uint80 compensated
    ) external pure {
        if (percent > 100) return;
        (uint256 toClient,) = Settlement.penalty(collateral, left, percent, repair, compensated);
        assert(toClient == 0 || compensated + toClient <= repair);
    }

    /// @dev Each epoch with leaves is kept, void or missed, and none is two of them.
    function check_anEpochHasOneVerdict(
        uint256 proven,
        uint256 impaired,
        uint256 valid,
        uint256 followed,
        uint256 range
    ) external pure {
        Facts memory facts;
        (facts.proven, facts.impaired, facts.valid, facts.followed) = (proven, impaired, valid, followed);
        Settlement.judge(facts, range);
        assert(facts.kept | facts.voided | facts.missed == range);
        assert(facts.kept & facts.voided == 0);
        assert(facts.kept & facts.missed == 0);
        assert(facts.voided & facts.missed == 0);
        assert(facts.earning & ~facts.kept == 0);
    }

    /// @dev Nobody is judged in an epoch that is void, and nobody is paid without a proof.
    function check_voidEpochsHurtNobody(uint256 proven, uint256 valid, uint256 followed, uint256 range) external pure {
        Facts memory facts;
        (facts.proven, facts.valid, facts.followed) = (proven, valid, followed);
        Settlement.judge(facts, range);
        assert(facts.missed & ~valid == 0);
        assert(facts.missed & ~followed == 0);
        assert(facts.kept & ~proven == 0);
    }

    /// @dev A word without its lowest bit has one bit less.
    function check_bitsAreCountedOneByOne(uint256 bits) external pure {
        if (bits == 0) {
            assert(Bits.count(bits) == 0);
            return;
        }
        assert(Bits.count(bits) == Bits.count(bits & (bits - 1)) + 1);
    }

    function check_aRangeHasTheBitsBetween(uint8 from, uint8 to, uint8 bit) external pure {
        if (from > to) return;
        bool within = (Bits.range(from, to) >> bit) & 1 == 1;
        assert(within == (bit >= from && bit < to));
    }
}
