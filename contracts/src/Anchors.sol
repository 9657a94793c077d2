// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Peered} from "./base/Peered.sol";
import {IAnchors} from "./interfaces/IAnchors.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";

/// @notice The newest head of each repository. See IAnchors.
contract Anchors is IAnchors, Peered {
    struct Anchor {
        bytes32 head;
        uint64 number;
        uint32 epoch;
    }

    mapping(uint32 member => mapping(uint32 repository => Anchor)) private _anchors;

    constructor(IDirectory directory) Peered(directory) {}

    /// @inheritdoc IAnchors
    function anchor(uint32 repository, uint64 number, bytes32 head) external override {
        uint32 member = _sender();
        _requireWriter(member);
        if (head == 0) revert ZeroHead();
        Anchor storage current = _anchors[member][repository];
        if (number <= current.number) revert NumberNotGrowing(member, repository, current.number, number);
        uint32 epoch = currentEpoch();
        _anchors[member][repository] = Anchor(head, number, epoch);
        emit HeadAnchored(member, repository, number, head, epoch);
    }

    /// @inheritdoc IAnchors
    function latest(uint32 member, uint32 repository)
        external
        view
        override
        returns (uint64 number, bytes32 head, uint32 epoch)
    {
        Anchor storage current = _anchors[member][repository];
        return (current.number, current.head, current.epoch);
    }
}
