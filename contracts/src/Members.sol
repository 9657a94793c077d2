// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Maintenance} from "./base/Maintenance.sol";
import {Peered} from "./base/Peered.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {IMembers, MemberView, NodeView} from "./interfaces/IMembers.sol";
import {StatusTable} from "./libraries/StatusTable.sol";
import {MemberStatus, Offer} from "./types/Types.sol";

/// @notice Who is a member and which node keys act for whom. See IMembers.
contract Members is Maintenance, AccessControl {
    using StatusTable for MemberStatus;

    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR_ROLE");

    uint256 private constant MAX_NAME = 128;

    /// @inheritdoc IMembers
    uint32 public override count;

    modifier known(uint32 member) {
        if (member == 0 || member > count) revert UnknownMember(member);
        _;
    }

    constructor(IDirectory directory) Peered(directory) {
        address operator = Ownable(address(directory)).owner();
        _grantRole(DEFAULT_ADMIN_ROLE, operator);
        _grantRole(OPERATOR_ROLE, operator);
    }

    /// @inheritdoc IMembers
    function admit(address account, bytes32 legalEntity, bytes2 jurisdiction, string calldata name)
        external
        override
        onlyRole(OPERATOR_ROLE)
        returns (uint32 id)
    {
        _requireShort("name", bytes(name).length, MAX_NAME);
        id = ++count;
        Member storage member = _member[id];
        member.status = MemberStatus.ACTIVE;
        member.legalEntity = legalEntity;
        member.jurisdiction = jurisdiction;
        member.name = name;
        _setAccount(id, account);
        ++generation;
        emit MemberAdmitted(id, account, legalEntity, jurisdiction, name);
    }

    /// @inheritdoc IMembers
    function suspend(uint32 member) external override onlyRole(OPERATOR_ROLE) known(member) {
        MemberStatus status = _member[member].status;
        if (!status.writes()) revert WrongStatus(member, status);
        _setStatus(member, MemberStatus.SUSPENDED);
        emit MemberSuspended(member);
    }

    /// @inheritdoc IMembers
    function reinstate(uint32 member) external override onlyRole(OPERATOR_ROLE) known(member) {
        MemberStatus status = _member[member].status;
        if (status != MemberStatus.SUSPENDED) revert WrongStatus(member, status);
        _setStatus(member, MemberStatus.ACTIVE);
        emit MemberReinstated(member);
    }

    /// @inheritdoc IMembers
    function leave() external override {
        uint32 member = memberOfAccount(msg.sender);
        if (member == 0) revert UnknownAccount(msg.sender);
        MemberStatus status = _member[member].status;
        if (!status.acts()) revert WrongStatus(member, status);
        if (status == MemberStatus.ACTIVE) {
            _setStatus(member, MemberStatus.LEAVING);
            delete _member[member].offer;
            emit MemberLeaving(member);
        }
        uint32 bound = _agreements().liveOf(member);
        if (bound == 0) _depart(member);
        else if (status != MemberStatus.ACTIVE) revert StillBound(member, bound);
    }

    /// @inheritdoc IMembers
    function depart(uint32 member) external override {
        MemberStatus status = _member[member].status;
        if (status != MemberStatus.LEAVING) revert WrongStatus(member, status);
        uint32 bound = _agreements().liveOf(member);
        if (bound != 0) revert StillBound(member, bound);
        _depart(member);
    }

    /// @inheritdoc IMembers
    function publishOffer(Offer calldata offer) external override {
        uint32 member = memberOf(msg.sender);
        if (member == 0) revert NotAMember(msg.sender);
        MemberStatus status = _member[member].status;
        if (!status.promises()) revert StatusForbids(member, status);
        _member[member].offer = offer;
        ++generation;
        emit OfferPublished(member, msg.sender, offer);
    }

    /// @inheritdoc IMembers
    function statusOf(uint32 member) external view override returns (MemberStatus) {
        return _member[member].status;
    }

    /// @inheritdoc IMembers
    function accountOf(uint32 member) external view override returns (address) {
        return _member[member].account;
    }

    /// @inheritdoc IMembers
    function entityOf(uint32 member) external view override returns (bytes32) {
        return _member[member].legalEntity;
    }

    /// @inheritdoc IMembers
    function offerOf(uint32 member) external view override returns (Offer memory) {
        return _member[member].offer;
    }

    /// @inheritdoc IMembers
    function roster(uint32 from, uint32 number) external view override returns (MemberView[] memory views) {
        uint256 first = from == 0 ? 1 : from;
        uint256 end = first + number > uint256(count) + 1 ? uint256(count) + 1 : first + number;
        if (first >= end) return views;
        views = new MemberView[](end - first);
        for (uint256 id = first; id < end; ++id) {
            _fill(views[id - first], uint32(id));
        }
    }

    function _depart(uint32 member) private {
        _setStatus(member, MemberStatus.LEFT);
        emit MemberLeft(member);
        _beacon().retire(member);
    }

    function _fill(MemberView memory filled, uint32 id) private view {
        Member storage member = _member[id];
        filled.id = id;
        filled.account = member.account;
        filled.status = member.status;
        filled.legalEntity = member.legalEntity;
        filled.jurisdiction = member.jurisdiction;
        filled.name = member.name;
        filled.offer = member.offer;
        filled.nodes = new NodeView[](member.nodes.length);
        for (uint256 i = 0; i < member.nodes.length; ++i) {
            address key = member.nodes[i];
            Node storage node = _nodes[key];
            filled.nodes[i] =
                NodeView(key, node.certificate, node.endpoint, node.site, _keys[key].expiresAt, _keys[key].revoked);
        }
    }
}
