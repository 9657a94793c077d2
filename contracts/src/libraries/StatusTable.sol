// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MemberStatus} from "../types/Types.sol";

/// @notice What a member may do, by its status: the rows below, and no others.
///
///               acts  writes  promises      changes to
///   ACTIVE       x      x        x          SUSPENDED (operator), LEAVING or LEFT (its account)
///   SUSPENDED    x                          ACTIVE (operator), LEFT (its account)
///   LEAVING      x      x                   SUSPENDED (operator), LEFT (anyone, once nothing binds it)
///   LEFT                                    nothing
///
/// To act is to keep the promises made: beat, prove, answer, declare maintenance, cancel, enrol. To write is
/// to revise, to anchor and to announce a removal. To promise is to offer, to open an agreement, and to prolong or enlarge
/// one. Reading one's own data and withdrawing one's credits is not in the table: no status takes it away.
library StatusTable {
    function acts(MemberStatus status) internal pure returns (bool) {
        return status != MemberStatus.NONE && status != MemberStatus.LEFT;
    }

    function writes(MemberStatus status) internal pure returns (bool) {
        return status == MemberStatus.ACTIVE || status == MemberStatus.LEAVING;
    }

    function promises(MemberStatus status) internal pure returns (bool) {
        return status == MemberStatus.ACTIVE;
    }
}
