// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Pricing} from "peerage/libraries/Pricing.sol";
import {StateTable} from "peerage/libraries/StateTable.sol";
import {AgreementState} from "peerage/types/Types.sol";

/// @notice What holds for every input, proven by halmos (scripts/assure halmos); forge runs none of it.
contract SymbolicTest {
    using StateTable for AgreementState;

    function check_aPriceIsRoundedUpByLessThanOne(uint64 size, uint64 price) external pure {
        uint256 cost = Pricing.cost(size, price);
        assert(cost << 30 >= uint256(size) * price);
        assert(cost == 0 || (cost - 1) << 30 < uint256(size) * price);
    }

    /// @dev So the pay of any leaves within the capacity is within the full cost that the escrow covers.
    function check_aPartCostsNoMoreThanTheWhole(uint64 part, uint64 rest, uint64 price) external pure {
        assert(Pricing.cost(part, price) <= Pricing.cost(uint256(part) + rest, price));
    }

    /// @dev So nobody pays less by splitting agreements.
    function check_partsCostNoLessThanTheWhole(uint64 part, uint64 rest, uint64 price) external pure {
        assert(Pricing.cost(part, price) + Pricing.cost(rest, price) >= Pricing.cost(uint256(part) + rest, price));
    }

    function check_noWayLeadsOutOfAnEnd(uint8 from, uint8 to) external pure {
        if (from > uint8(type(AgreementState).max) || to > uint8(type(AgreementState).max)) return;
        AgreementState before = AgreementState(from);
        if (!before.allows(AgreementState(to))) return;
        assert(before == AgreementState.NONE || before.live());
        assert(AgreementState(to) != AgreementState.NONE);
    }
}
