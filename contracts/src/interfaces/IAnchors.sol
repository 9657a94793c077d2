// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice The hash of the newest head of each of a member's repositories, so that nobody can pass an old one off as new.
interface IAnchors {
    error NumberNotGrowing(uint32 member, uint32 repository, uint64 newest, uint64 given);
    error ZeroHead();

    event HeadAnchored(uint32 indexed member, uint32 indexed repository, uint64 number, bytes32 head, uint32 epoch);

    /// @notice Anchors a head of the sender's repository. A member's key; not while suspended. The number grows.
    /// @param head SHA-256 of the unpadded head object.
    function anchor(uint32 repository, uint64 number, bytes32 head) external;

    /// @notice The newest anchored head; number 0 if there is none.
    function latest(uint32 member, uint32 repository) external view returns (uint64 number, bytes32 head, uint32 epoch);
}
