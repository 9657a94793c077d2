// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice The kinds under which the Directory lists contracts: keccak256 of the contract's name.
library Kinds {
    bytes32 internal constant CREDIT = keccak256("Credit");
    bytes32 internal constant MEMBERS = keccak256("Members");
    bytes32 internal constant BEACON = keccak256("Beacon");
    bytes32 internal constant AGREEMENTS = keccak256("Agreements");
    bytes32 internal constant AMENDMENTS = keccak256("Amendments");
    bytes32 internal constant PROOFS = keccak256("Proofs");
    bytes32 internal constant CLEARING = keccak256("Clearing");
    bytes32 internal constant DEMANDS = keccak256("Demands");
    bytes32 internal constant QUALITY = keccak256("Quality");
    bytes32 internal constant ANCHORS = keccak256("Anchors");
}
