// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MemberStatus} from "../types/Types.sol";
import {IDirectory} from "./IDirectory.sol";

/// @notice What every contract that the Directory lists has in common.
interface IPeered {
    /// @notice The Directory lists no contract of this kind yet.
    error MissingContract(bytes32 kind);
    /// @notice Only the current contract of `kind` may call this.
    error OnlyContract(bytes32 kind, address caller);
    /// @notice The Directory lists `current` in this contract's place.
    error Superseded(bytes32 kind, address current);
    /// @notice The sender is neither a live node key nor the account of a member.
    error NotAMember(address sender);
    /// @notice A member of this status may not do this: see StatusTable.
    error StatusForbids(uint32 member, MemberStatus status);
    error UnsupportedVersion(uint16 given);
    /// @notice A reserved field is not zero: this version of the contracts does not know what it asks for.
    error UnsupportedExtension(bytes32 given);

    function directory() external view returns (IDirectory);

    /// @notice The current epoch; 0 until one epoch after genesis.
    function currentEpoch() external view returns (uint32);
}
