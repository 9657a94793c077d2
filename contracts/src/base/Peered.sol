// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAgreements} from "../interfaces/IAgreements.sol";
import {IBeacon} from "../interfaces/IBeacon.sol";
import {IClearing} from "../interfaces/IClearing.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {IMembers} from "../interfaces/IMembers.sol";
import {IPeered} from "../interfaces/IPeered.sol";
import {IProofs} from "../interfaces/IProofs.sol";
import {Kinds} from "../libraries/Kinds.sol";
import {Rules} from "../libraries/RuleSet.sol";
import {StatusTable} from "../libraries/StatusTable.sol";
import {MemberStatus, Params} from "../types/Types.sol";

/// @notice Base of the contracts that the Directory lists: the clock, the way to the others, and who may call.
/// @dev The others are looked up at each call, so that one can be replaced while the rest stay.
abstract contract Peered is IPeered {
    using StatusTable for MemberStatus;

    /// @inheritdoc IPeered
    IDirectory public immutable override directory;

    uint256 internal immutable EPOCH_SECONDS;
    uint256 internal immutable GENESIS_TIME;

    modifier onlyContract(bytes32 kind) {
        _requireSender(kind);
        _;
    }

    /// @dev A contract that another has taken the place of writes nothing more: the other one has read it.
    modifier onlyCurrent(bytes32 kind) {
        _requireCurrent(kind);
        _;
    }

    constructor(IDirectory directory_) {
        directory = directory_;
        Params memory params = directory_.params();
        EPOCH_SECONDS = params.epochSeconds;
        GENESIS_TIME = params.genesisTime;
    }

    /// @inheritdoc IPeered
    function currentEpoch() public view override returns (uint32) {
        return block.timestamp < GENESIS_TIME ? 0 : uint32((block.timestamp - GENESIS_TIME) / EPOCH_SECONDS);
    }

    /// @dev The moment, in Unix seconds, at which the first half of the current epoch ends, rounded up.
    function _halfTime() internal view returns (uint256) {
        return GENESIS_TIME + currentEpoch() * EPOCH_SECONDS + (EPOCH_SECONDS + 1) / 2;
    }

    /// @dev The member that the sender acts for.
    function _sender() internal view returns (uint32 member) {
        member = _members().memberOf(msg.sender);
        if (member == 0) revert NotAMember(msg.sender);
    }

    /// @dev That a member may change what it stores: revise, anchor, announce a removal.
    function _requireWriter(uint32 member) internal view {
        MemberStatus status = _members().statusOf(member);
        if (!status.writes()) revert StatusForbids(member, status);
    }

    /// @dev The rules in force now.
    function _rules() internal view returns (Rules rules) {
        (rules,) = directory.rulesAt(currentEpoch());
    }

    function _members() internal view returns (IMembers) {
        return IMembers(_contract(Kinds.MEMBERS));
    }

    function _beacon() internal view returns (IBeacon) {
        return IBeacon(_contract(Kinds.BEACON));
    }

    function _agreements() internal view returns (IAgreements) {
        return IAgreements(_contract(Kinds.AGREEMENTS));
    }

    function _proofs() internal view returns (IProofs) {
        return IProofs(_contract(Kinds.PROOFS));
    }

    function _clearing() internal view returns (IClearing) {
        return IClearing(_contract(Kinds.CLEARING));
    }

    function _requireSender(bytes32 kind) private view {
        if (msg.sender != directory.get(kind)) revert OnlyContract(kind, msg.sender);
    }

    function _requireCurrent(bytes32 kind) private view {
        address current = directory.get(kind);
        if (current != address(this)) revert Superseded(kind, current);
    }

    function _contract(bytes32 kind) internal view returns (address found) {
        found = directory.get(kind);
        if (found == address(0)) revert MissingContract(kind);
    }
}
