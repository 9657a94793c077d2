// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AgreementState} from "../types/Types.sol";

/// @notice The state table of an agreement: the pairs below, and no others.
///
///   from \ to   ACTIVE  GRACE  LAPSED  FAILED  ENDED
///   NONE          x
///   ACTIVE                x               x      x
///   GRACE         x               x       x      x
library StateTable {
    /// @dev One byte a row, from NONE on; bit n of a row allows the transition to state n.
    uint256 private constant ROWS = 0x3a3402;

    function allows(AgreementState from, AgreementState to) internal pure returns (bool) {
        return (ROWS >> (uint256(from) * 8 + uint256(to))) & 1 == 1;
    }

    /// @notice Whether promises are still being kept and judged in this state.
    function live(AgreementState state) internal pure returns (bool) {
        return state == AgreementState.ACTIVE || state == AgreementState.GRACE;
    }
}
